"""Select the readings that a model is trained on, and those that it is judged on. Offline only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from models.features.columns import Floats, Ints
from models.features.frame import MAX_ENTRIES, FeatureSpec, Frame, compute
from models.horizon_days import HORIZON_DAYS
from models.training.history import History
from models.training.labels import DAY_S, UNKNOWN, Labels, days_to_failure

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
    history.
    """

    index: Ints
    weight: Floats
    labels: tuple[Labels, ...]
    frame: Frame
    train_frame: Frame
    time_s: Floats
    charger: Ints
    next_failure_s: Floats

    def failures(self, column: int = -1) -> int:
        """Number of distinct failures within a horizon (default: the longest) after these readings."""
        ahead = self.labels[column] == 1
        return len(np.unique(np.column_stack([self.charger[ahead], self.next_failure_s[ahead]]), axis=0))

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
        )


def sample(history: History, truth: tuple[Labels, ...], rng: np.random.Generator) -> Rows:
    """At most `MAX_ROWS` readings of known future, each with its weight and features.

    `truth` are the labels of the horizons to learn: the first one, two or all three of `HORIZON_DAYS`.
    """
    day, week, month = truth[0], truth[min(1, len(truth) - 1)], truth[-1]
    known = day != UNKNOWN
    strata = {
        "week": known & (week == 1),
        "month": known & (week != 1) & (month == 1),
        "healthy": known & (week != 1) & (month != 1),
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
    return Rows(index, ones, (), frame, frame, columns.time_s[index], columns.charger[index], ones)


def split(rows: Rows) -> tuple[list[Rows], Rows]:
    """Older rows for each horizon, ending one horizon before the newer rows begin, and the newer rows.

    If the history is too short for that, the split is by charger, with a quarter of the chargers as the newer
    part.
    """
    usable = rows.labels[-1] != UNKNOWN
    order = np.argsort(rows.time_s[usable], kind="stable")
    mass = np.cumsum(rows.weight[usable][order])
    begin = rows.time_s[usable][order][int(np.searchsorted(mass, mass[-1] * (1 - NEWER_SHARE)))]
    newer = rows.take(rows.time_s > begin)
    horizons = HORIZON_DAYS[: len(rows.labels)]
    older = [rows.take(rows.time_s <= begin - days * DAY_S) for days in horizons]
    if all(
        _failing(part, k) >= MIN_POSITIVES and _failing(newer, k) >= MIN_POSITIVES
        for k, part in enumerate(older)
    ):
        return older, newer
    out_of_fold = rows.charger % 4 == 0
    return [rows.take(~out_of_fold)] * len(horizons), rows.take(out_of_fold)


def teaches(rows: Rows, column: int) -> bool:
    """Whether the rows contain both outcomes of a horizon."""
    label = rows.labels[column]
    return bool((label == 1).any() and (label == 0).any())


def _failing(rows: Rows, column: int) -> int:
    return int((rows.labels[column] == 1).sum())
