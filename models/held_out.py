"""Scores of readings by models that have not seen them: to choose sizes, calibrate and measure. Offline only.

By time where there are failures enough: models of the older part score the newer one, a gap of one horizon
between them. Where there are few, the newer part holds too few to calibrate on, and models of half the
failures are weaker than the final ones: then each charger is scored by models of the other chargers, so that
every failure is evidence. (Measured on three made-up fleets of drives with 85 to 117 failures to learn from,
.03 % of rows before one within a day: see docs/adr/0005-calibration.md.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from models import boosting
from models.columns import Floats, Ints
from models.failure import HORIZON_NAMES
from models.features import FeatureSpec, Frame
from models.sampling import Rows, bare_of, split

FOLDS: Final = 5
FEW_FAILURES: Final = 500
MIN_TREES: Final = 10
KINDS: Final = ("with history", "without history")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """`rows` with raw log-odds [n, horizons] of models that had not seen them, and sizes [kind][horizon].

    `raw` is of models with history on rows with it, `raw_bare` of models without on rows without.
    """

    rows: Rows
    raw: Floats
    raw_bare: Floats
    sizes: tuple[tuple[int, ...], tuple[int, ...]]


def by_time(
    rows: Rows, spec: FeatureSpec, seed: int, progress: Callable[[str], None] = lambda _: None
) -> HeldOut:
    """The newer part of `rows`, scored by models of the older part."""
    older, newer = split(rows)
    everything = np.arange(len(newer.index))
    return _scored(newer, spec, seed, lambda column: iter([(older[column], everything)]), progress)


def by_charger(
    rows: Rows, spec: FeatureSpec, seed: int, progress: Callable[[str], None] = lambda _: None
) -> HeldOut:
    """All `rows`, each charger scored by models of the others: chargers that failed dealt out evenly."""
    ahead = rows.labels[-1] == 1
    failed = np.unique(rows.charger[ahead])
    others = np.setdiff1d(rows.charger, failed)
    fold_of = np.zeros(int(rows.charger.max()) + 1, np.int64)
    rng = np.random.default_rng(seed)
    for part in (failed, others):
        fold_of[rng.permutation(part)] = np.arange(len(part)) % FOLDS
    fold = fold_of[rows.charger]

    def parts(_: int) -> Iterator[tuple[Rows, Ints]]:
        for number in range(FOLDS):
            yield rows.take(fold != number), np.flatnonzero(fold == number)

    return _scored(rows, spec, seed, parts, progress)


def _scored(
    judged: Rows,
    spec: FeatureSpec,
    seed: int,
    parts: Callable[[int], Iterator[tuple[Rows, Ints]]],
    progress: Callable[[str], None],
) -> HeldOut:
    """Score `judged`; `parts(column)` gives rows to learn from and the places in `judged` they may score."""
    raws: list[Floats] = []
    sizes: list[tuple[int, ...]] = []
    for kind in KINDS:
        bare = kind == KINDS[1]
        seen = bare_of(judged, spec) if bare else judged
        raw = np.empty((len(judged.index), len(HORIZON_NAMES)))
        chosen: list[int] = []
        for column, name in enumerate(HORIZON_NAMES):
            progress(f"fit {name} {kind}, some held out")
            stages = np.empty((boosting.TREES, len(judged.index)), np.float32)
            for lessons, places in parts(column):
                model = boosting.fit(
                    bare_of(lessons, spec) if bare else lessons, column, spec, boosting.TREES, seed
                )
                stages[:, places] = boosting.staged(model, seen.frame[places])
            size = _best(stages, judged, column)
            raw[:, column] = stages[size - 1]
            chosen.append(size)
        raws.append(raw)
        sizes.append(tuple(chosen))
    return HeldOut(judged, raws[0], raws[1], (sizes[0], sizes[1]))


def _best(stages: Frame, judged: Rows, column: int) -> int:
    """The number of trees with the least log loss, at least `MIN_TREES`."""
    return max(MIN_TREES, int(boosting.losses(stages, judged, column).argmin()) + 1)
