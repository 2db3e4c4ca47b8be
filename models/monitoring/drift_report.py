"""Compare live readings with the training distributions of a version. Pure functions; imports only numpy.

Training excludes readings that are in failure themselves, so these are counted and then left out. History
features and the score are compared only among readings with history, as nearly all training readings have
one. If the service's histories are still shorter than those of training, history features differ for that
reason alone. Their PSI is then reported, with the status `short_history`.

A day or a month covers one season, a year of training covers all. Over a simulated year this alone gave
temperatures a PSI of up to 1.41, for any period compared, and other features 0.2 at most. 25 K more gave 2.8
to 6.1. So seasonal features have higher limits if the training data spans a year. A sudden change also shows
in `temperature_above_usual`, which is not seasonal.
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
# From the least informative to the worst.
STATUSES: Final[tuple[Status, ...]] = ("too_few_readings", "short_history", "stable", "look", "drifted")
JUDGED: Final = STATUSES[2:]
# Number of leading counts: compared readings, readings in failure, compared readings with history.
HEAD: Final = 3
# Bins per feature, the last for missing values. A feature with few distinct values leaves some empty.
WIDTH: Final = BINS + 1
# The length of a reading's history. It depends on this service's storage, not on chargers: it is not judged.
LENGTH_OF_PAST: Final = "history_days"
SCORES: Final = ("probability_30d", "anomaly_score")


@dataclass(frozen=True, slots=True)
class Baseline:
    """Training distributions of the score and of the features `names`.

    Counts are one integer vector of length `length`, so that batches, processes and hours can be summed.
    `edges` [1 + features, BINS - 1] are padded with infinity; the score is the first row.
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
        """The baseline in a version's manifest; None if it has no valid distributions."""
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
        """Length of the count vector."""
        return HEAD + len(self.training) * WIDTH

    def count(self, frame: Frame, scores: Floats) -> Ints:
        """Counts [length] of a batch: `frame` [n, features of `spec`] and its scores [n]."""
        usable, past = ~is_faulty(frame, self.spec), has_history(frame, self.spec)
        values = np.column_stack([scores, frame[:, self.columns].astype(np.float64)])
        bins = (values[:, :, None] > self.edges).sum(axis=2)  # a value on an edge is in the lower bin
        bins[np.isnan(values)] = WIDTH - 1
        bins += HEAD + WIDTH * np.arange(len(self.training))
        counted = usable[:, None] & (past[:, None] | ~self.of_history)
        counts = np.bincount(bins[counted], minlength=self.length)
        counts[:HEAD] = usable.sum(), (~usable).sum(), (usable & past).sum()
        return counts.astype(np.int64)

    def report(self, counts: Ints) -> dict[str, Any]:
        """The drift report of counts [length], features with the largest PSI first.

        `status` is the worst status of the score and the features that can be judged.
        """
        readings, in_failure, with_past = (int(number) for number in counts[:HEAD])
        now = dict(zip(("", *self.names), counts[HEAD:].reshape(-1, WIDTH), strict=True))
        then = dict(zip(("", *self.names), self.training, strict=True))
        length = then.get(LENGTH_OF_PAST)
        bare = 0.0 if length is None else float(length.shares[-1])
        # shorter than nine tenths of the training histories
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
    """Compare one distribution with that of training. Shares are by bin, missing values last."""
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
