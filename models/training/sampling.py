"""Which readings a model learns from, and which it is judged on. Offline only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from models.failure import HORIZON_DAYS
from models.features.columns import Floats, Ints
from models.features.frame import MAX_ENTRIES, FeatureSpec, Frame, compute
from models.training.history import History
from models.training.labels import DAY_S, UNKNOWN, Labels, days_to_failure

# Rows kept for fitting: all rarer ones first. Beyond this, more rows of the same fleet moved PR-AUC by less
# than its bootstrap interval, and a million rows must train within five minutes.
MAX_ROWS: Final = {"week": 30_000, "month": 30_000, "healthy": 50_000}
NEWER_SHARE: Final = 0.3
MIN_POSITIVES: Final = 10
# Share of training rows whose past is cut short: a server's history of a charger begins with one entry.
SHORT_PAST: Final = 0.2


@dataclass(frozen=True, slots=True)
class Rows:
    """Sampled readings: where they stand, how many each stands for, what came after, and their features.

    `frame` holds what was known; `train_frame` is what the model learns from, with some of the past left out.
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
        """How many different failures these readings came before, within a horizon (the longest)."""
        ahead = self.labels[column] == 1
        return len(np.unique(np.column_stack([self.charger[ahead], self.next_failure_s[ahead]]), axis=0))

    def take(self, which: Any) -> Rows:
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
    """The same rows with nothing known of their past."""
    frame = rows.frame.copy()
    frame[:, spec.first_history :] = np.nan
    return replace(rows, frame=frame, train_frame=frame)


def _with_gaps(history: History, index: Ints, full: Frame, rng: np.random.Generator) -> Frame:
    """The frame to learn from: some rows have a short past."""
    frame = full.copy()
    short = np.flatnonzero(rng.random(len(index)) < SHORT_PAST)
    depth = rng.integers(1, MAX_ENTRIES, len(short))
    frame[short] = compute(history.columns, history.spec, index[short], depth)
    return frame


def without_labels(history: History, index: Ints, frame: Frame) -> Rows:
    columns = history.columns
    ones = np.ones(len(index))
    return Rows(index, ones, (), frame, frame, columns.time_s[index], columns.charger[index], ones)


def split(rows: Rows) -> tuple[list[Rows], Rows]:
    """Older rows for each horizon of `rows`, ending one horizon before the newer ones begin.

    Where the history is too short for that, by charger instead: a quarter of the chargers is the newer part.
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
    """Whether rows of both outcomes are known for a horizon."""
    label = rows.labels[column]
    return bool((label == 1).any() and (label == 0).any())


def _failing(rows: Rows, column: int) -> int:
    return int((rows.labels[column] == 1).sum())
