"""What a version was trained on, made ready for counting live readings against it. Pure; only numpy.

Compared is like with like. Training sees no reading that is itself in failure, so those are counted and then
left out. What features make of a charger's past is compared among readings that have a past, as nearly all of
training has; so is the score, whose distribution in training is that of readings with a past. While the pasts
that the service has gathered are shorter than those of training, features made of them differ for that reason
alone: their PSI is told, and judged `short_history`.

A day or a month is one season, and a year of training has them all. Over a simulated year that alone gave
temperatures a PSI of up to 1.41, whatever the window, and every other feature 0.2 at most; 25 K more gave
2.8 to 6.1. So what follows the seasons is judged by limits above that, where training has seen a whole year;
a sudden change shows in `temperature_above_usual` too, which does not follow them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import numpy as np

from models.failure import has_history, is_faulty
from models.features.columns import Bools, Floats, Ints
from models.features.frame import FeatureSpec, Frame
from models.monitoring.psi import BINS, PSI_DRIFTED, PSI_LOOK, Distribution, psi

Status = Literal["too_few_readings", "short_history", "stable", "look", "drifted"]
SEASONAL: Final = frozenset(
    {
        *("temperature_c", "temperature_max_7d", "temperature_mean_7d", "temperature_mean_30d"),
        *("temperature_trend_per_day", "temperature_charging_7d"),
    }
)
SEASON_LOOK: Final = 1.5
SEASON_DRIFTED: Final = 2.5
YEAR: Final = timedelta(days=330)
# From the least telling to the worst.
STATUSES: Final[tuple[Status, ...]] = ("too_few_readings", "short_history", "stable", "look", "drifted")
JUDGED: Final = STATUSES[2:]
# Counts before all others: readings compared, readings in failure, and how many of the compared have a past.
HEAD: Final = 3
# Bins of each feature, the last for missing values; one with few values leaves some empty.
WIDTH: Final = BINS + 1
# How long a reading's past is. It speaks of this service's memory, not of chargers, and is no finding itself.
LENGTH_OF_PAST: Final = "history_days"
SCORES: Final = ("probability_30d", "anomaly_score")


@dataclass(frozen=True, slots=True)
class Baseline:
    """The score's distribution and those of `names`, in training.

    `counts` are one vector of whole numbers, `length` long, so that those of batches, processes and hours
    add up. `edges` [1 + features, BINS - 1] are filled up with infinity; the score stands first.
    """

    spec: FeatureSpec
    names: tuple[str, ...]
    columns: Ints
    training: tuple[Distribution, ...]
    edges: Floats
    of_history: Bools
    seasonal: frozenset[str]

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Baseline | None:
        """Of a version's manifest; None where it states no distributions, or none that can be read."""
        raw: Any = manifest.get("distributions")
        try:
            spec = FeatureSpec.from_manifest(manifest["features"])
            by_name = {name: Distribution.from_manifest(entry) for name, entry in raw["features"].items()}
            score = Distribution.from_manifest(next(raw[name] for name in SCORES if name in raw))
            columns = np.array([spec.names.index(name) for name in by_name], np.int64)
            training = (score, *by_name.values())
            edges = np.full((len(training), BINS - 1), np.inf)
            for row, distribution in enumerate(training):
                edges[row, : len(distribution.edges)] = distribution.edges
            data = manifest["training_data"]
            seen = datetime.fromisoformat(data["to"]) - datetime.fromisoformat(data["from"])
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
            return None
        of_history = np.concatenate(([True], columns >= spec.first_history))
        seasonal = SEASONAL if seen >= YEAR else frozenset()
        return cls(spec, tuple(by_name), columns, training, edges, of_history, seasonal)

    @property
    def length(self) -> int:
        return HEAD + len(self.training) * WIDTH

    def count(self, frame: Frame, scores: Floats) -> Ints:
        """Counts of a batch: `frame` [n, features of `spec`] and its scores [n]."""
        usable, past = ~is_faulty(frame, self.spec), has_history(frame, self.spec)
        values = np.column_stack([scores, frame[:, self.columns].astype(np.float64)])
        bins = (values[:, :, None] > self.edges).sum(axis=2)  # an edge belongs to the bin below it
        bins[np.isnan(values)] = WIDTH - 1
        bins += HEAD + WIDTH * np.arange(len(self.training))
        counted = usable[:, None] & (past[:, None] | ~self.of_history)
        counts = np.bincount(bins[counted], minlength=self.length)
        counts[:HEAD] = usable.sum(), (~usable).sum(), (usable & past).sum()
        return counts.astype(np.int64)

    def report(self, counts: Ints) -> dict[str, Any]:
        """What the counts say, features with the largest PSI first.

        `status` is the worst of the score's and the features', as far as these can be judged.
        """
        readings, in_failure, with_past = (int(number) for number in counts[:HEAD])
        now = dict(zip(("", *self.names), counts[HEAD:].reshape(-1, WIDTH), strict=True))
        then = dict(zip(("", *self.names), self.training, strict=True))
        length = then.get(LENGTH_OF_PAST)
        bare = 0.0 if length is None else float(length.shares[-1])
        # shorter than in nine of ten cases of training
        short = length is not None and bool(now[LENGTH_OF_PAST][0] * 2 > with_past)
        score = _compared(then[""], now[""], _status)
        features = []
        for name, past in zip(self.names, self.of_history[1:], strict=True):
            if name == LENGTH_OF_PAST:
                continue
            before = then[name].among_known(bare) if past else then[name]
            judge = _short_history if past and short else _seasonal if name in self.seasonal else _status
            about = {
                "feature": name,
                "source": "history" if past else "reading",
                "seasonal": name in self.seasonal,
            }
            features.append(about | _compared(before, now[name], judge))
        features.sort(key=lambda each: -1.0 if each["psi"] is None else each["psi"], reverse=True)
        status = max((each["status"] for each in (score, *features)), key=STATUSES.index)
        return {
            "status": "too_few_readings" if status == "short_history" else status,
            "readings": readings,
            "in_failure": in_failure,
            "history": {
                "share_now": round(with_past / readings, 4) if readings else None,
                "share_training": None if length is None else round(1 - bare, 4),
                "short": short,
            },
            "drifted": [each["feature"] for each in features if each["status"] == "drifted"],
            "score": score,
            "features": features,
        }


def _compared(training: Distribution, counts: Ints, judge: Callable[[float], Status]) -> dict[str, Any]:
    """One distribution beside the one of training. Shares are those of the bins, missing values last."""
    counts = np.append(counts[: len(training.edges) + 1], counts[-1])
    rows = int(counts.sum())
    shares = [round(float(count) / rows, 4) for count in counts] if rows else None
    index = psi(training, counts.astype(np.float64))
    return {
        "psi": None if index is None else round(index, 4),
        "status": "too_few_readings" if index is None else judge(index),
        "readings": rows,
        "missing_share_now": None if shares is None else shares[-1],
        "missing_share_training": round(float(training.shares[-1]), 4),
        "edges": training.edges.tolist(),
        "shares_now": shares,
        "shares_training": _rounded(training.shares),
    }


def _status(index: float) -> Status:
    return "drifted" if index >= PSI_DRIFTED else "look" if index >= PSI_LOOK else "stable"


def _seasonal(index: float) -> Status:
    return "drifted" if index >= SEASON_DRIFTED else "look" if index >= SEASON_LOOK else "stable"


def _short_history(_: float) -> Status:
    return "short_history"


def _rounded(shares: Sequence[float] | Floats) -> list[float]:
    return [round(float(share), 4) for share in shares]
