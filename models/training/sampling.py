"""Select the readings that a model is trained on, and those that it is judged on. Offline only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from models.features.columns import Bools, Floats, Ints
from models.features.frame import MAX_ENTRIES, FeatureSpec, Frame, compute
from models.horizon_days import HORIZON_DAYS
from models.training.history import History
from models.training.labels import DAY_S, UNKNOWN, Labels, days_to_failure, futures

# Rows per stratum kept for fitting. More rows of the same fleet changed the PR-AUC by less than its bootstrap
# interval, and a history of a million rows must train within five minutes.
MAX_ROWS: Final = {"week": 30_000, "month": 30_000, "healthy": 50_000}
NEWER_SHARE: Final = 0.3
MIN_POSITIVES: Final = 10
# Share of training rows with a shortened history, because a server's history of a charger starts empty.
SHORT_PAST: Final = 0.2


@dataclass(frozen=True, slots=True)
class Rows:
    """Sampled readings: index in the history, weight in represented rows, labels by horizon, and features.

    `frame` has all known features. `train_frame` is the training input, in which some rows have a shortened
    history. `known_days` and `failed` are those of `labels.futures`.
    """

    index: Ints
    weight: Floats
    labels: tuple[Labels, ...]
    frame: Frame
    train_frame: Frame
    time_s: Floats
    charger: Ints
    next_failure_s: Floats
    known_days: Floats
    failed: Bools

    def failures(self, column: int = -1) -> int:
        """Number of distinct failures within a horizon (default: the longest) after these readings."""
        ahead = self.failing(column)
        return len(np.unique(np.column_stack([self.charger[ahead], self.next_failure_s[ahead]]), axis=0))

    def failing(self, column: int = -1) -> Bools:
        """Which rows were seen to fail within a horizon (default: the longest) [n]."""
        return self.failed & (self.known_days <= HORIZON_DAYS[: len(self.labels)][column])

    def until(self, end_s: float) -> Rows:
        """The rows up to a time, as they were known then."""
        rows = self.take(self.time_s < end_s)
        days = (end_s - rows.time_s) / DAY_S
        failed = rows.failed & (rows.known_days <= days)
        return replace(rows, known_days=np.minimum(rows.known_days, days), failed=failed)

    def take(self, which: Any) -> Rows:
        """The rows selected by an index or a mask."""
        return Rows(
            self.index[which],
            self.weight[which],
            tuple(label[which] for label in self.labels),
            self.frame[which],
            self.train_frame[which],
            self.time_s[which],
            self.charger[which],
            self.next_failure_s[which],
            self.known_days[which],
            self.failed[which],
        )


def sample(history: History, truth: tuple[Labels, ...], rng: np.random.Generator) -> Rows:
    """At most `MAX_ROWS` readings of known future, each with its weight and features.

    `truth` are the labels of the horizons to learn: the first one, two or all three of `HORIZON_DAYS`.
    """
    _, week_days, month_days = HORIZON_DAYS
    known = truth[0] != UNKNOWN
    known_days, failed = futures(history)
    strata = {
        "week": known & failed & (known_days <= week_days),
        "month": known & failed & (known_days > week_days) & (known_days <= month_days),
        "healthy": known & ~(failed & (known_days <= month_days)),
    }
    picked: list[Ints] = []
    weights: list[Floats] = []
    for name, mask in strata.items():
        where = np.flatnonzero(mask)
        kept = where if len(where) <= MAX_ROWS[name] else rng.choice(where, MAX_ROWS[name], replace=False)
        picked.append(kept)
        weights.append(np.full(len(kept), len(where) / max(len(kept), 1)))
    index = np.concatenate(picked)
    order = np.argsort(index)
    index, weight = index[order], np.concatenate(weights)[order]
    full = compute(history.columns, history.spec, index)
    return Rows(
        index,
        weight,
        tuple(label[index] for label in truth),
        full,
        _with_gaps(history, index, full, rng),
        history.columns.time_s[index],
        history.columns.charger[index],
        np.round(history.columns.time_s[index] + days_to_failure(history)[index] * DAY_S),
        known_days[index],
        failed[index],
    )


def bare_of(rows: Rows, spec: FeatureSpec) -> Rows:
    """The same rows without history."""
    frame = rows.frame.copy()
    frame[:, spec.first_history :] = np.nan
    return replace(rows, frame=frame, train_frame=frame)


def _with_gaps(history: History, index: Ints, full: Frame, rng: np.random.Generator) -> Frame:
    """The training frame: some rows have a shortened history."""
    frame = full.copy()
    short = np.flatnonzero(rng.random(len(index)) < SHORT_PAST)
    depth = rng.integers(1, MAX_ENTRIES, len(short))
    frame[short] = compute(history.columns, history.spec, index[short], depth)
    return frame


def without_labels(history: History, index: Ints, frame: Frame) -> Rows:
    """Rows of weight 1 without labels, for models that need none."""
    columns = history.columns
    ones = np.ones(len(index))
    none = np.zeros(len(index), np.bool_)
    return Rows(
        index, ones, (), frame, frame, columns.time_s[index], columns.charger[index], ones, ones, none
    )


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Older rows, as they were known when the newer ones begin, and the newer rows.

    If the history is too short for that, the split is by charger, with a quarter of the chargers as the newer
    part.
    """
    usable = rows.labels[-1] != UNKNOWN
    order = np.argsort(rows.time_s[usable], kind="stable")
    mass = np.cumsum(rows.weight[usable][order])
    begin = rows.time_s[usable][order][int(np.searchsorted(mass, mass[-1] * (1 - NEWER_SHARE)))]
    older, newer = rows.until(begin), rows.take(rows.time_s > begin)
    if all(
        older.failing(column).sum() >= MIN_POSITIVES and (label == 1).sum() >= MIN_POSITIVES
        for column, label in enumerate(newer.labels)
    ):
        return older, newer
    out_of_fold = rows.charger % 4 == 0
    return rows.take(~out_of_fold), rows.take(out_of_fold)


def teaches(rows: Rows, column: int) -> bool:
    """Whether the rows contain both outcomes of a horizon."""
    failing = rows.failing(column)
    return bool(failing.any() and not failing.all())
