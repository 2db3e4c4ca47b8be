"""Out-of-fold scores, to choose model sizes, calibrate and measure. Offline only.

With enough failures the split is by time: models of the older part score the newer one. They see the older
part as it was known when the newer one begins. With few failures the newer part is too small to calibrate on,
and models of the older part are much weaker than the final ones. Then the history is cut into blocks, each
scored by models of the others, so that every failure is used (docs/adr/0005-calibration.md). Columns are the
horizons that `rows` have labels for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from models.features.columns import Floats, Ints
from models.features.frame import FeatureSpec, Frame
from models.horizon_days import HORIZON_NAMES
from models.training import boosting
from models.training.labels import DAY_S, UNKNOWN
from models.training.sampling import Rows, bare_of, split, teaches

BLOCKS: Final = 5
FEW_FAILURES: Final = 500
LONG_S: Final = 90 * DAY_S  # from this length on, the readings of known future are cut into blocks of time
MIN_TREES: Final = 50  # 30-day PR-AUC on few failures: .163 with the 10 of least loss, .172 with 50
WEEK: Final = HORIZON_NAMES.index("7d")
KINDS: Final = ("with history", "without history")


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Out-of-fold raw log-odds [n, horizons] of `rows`, and the number of trees by kind and horizon.

    `raw` is by models with history on rows with it, `raw_bare` by models without history on rows without.
    """

    rows: Rows
    raw: Floats
    raw_bare: Floats
    sizes: tuple[tuple[int, ...], tuple[int, ...]]


def by_time(
    rows: Rows, spec: FeatureSpec, seed: int, progress: Callable[[str], None] = lambda _: None
) -> OutOfFold | None:
    """The newer part of `rows`, scored by models of the older part. None if a part is too small."""
    older, newer = split(rows)
    if not len(newer.index) or not all(teaches(older, column) for column in range(len(rows.labels))):
        return None
    everything = np.arange(len(newer.index))
    return _scored(newer, spec, seed, lambda _: iter([(older, everything)]), progress)


def by_blocks(
    rows: Rows, spec: FeatureSpec, seed: int, progress: Callable[[str], None] = lambda _: None
) -> OutOfFold | None:
    """All `rows`, each block scored by models of the others. None if there are no `blocks`."""
    block = blocks(rows)
    if block is None:
        return None

    def parts(_: int) -> Iterator[tuple[Rows, Ints]]:
        for number in np.unique(block):
            yield rows.take(block != number), np.flatnonzero(block == number)

    return _scored(rows, spec, seed, parts, progress)


def blocks(rows: Rows) -> Ints | None:
    """The block of each row [n], by time or, if the history is too short for that, by charger.

    A reading before a failure is in the block of that failure, so that no failure is on both sides. A block
    of a few days would contain failures or healthy readings, hardly both, and out-of-fold scores for it would
    be wrong. None if neither way leaves enough failures outside each block.
    """
    ahead = rows.failing()
    speaks_of_s = np.where(ahead, rows.next_failure_s, rows.time_s)
    edges = np.quantile(speaks_of_s, np.arange(1, BLOCKS) / BLOCKS)
    of_time = np.searchsorted(edges, speaks_of_s)
    # Chargers are assigned to blocks in turn, those with most failures first.
    failing = np.bincount(rows.charger, ahead)
    rank = np.empty(len(failing), np.int64)
    rank[np.argsort(-failing, kind="stable")] = np.arange(len(failing))
    by_either = [of_time, rank[rows.charger] % BLOCKS]
    if np.ptp(rows.time_s[rows.labels[-1] != UNKNOWN]) < LONG_S:
        by_either.reverse()
    for block in by_either:
        present = np.unique(block)
        if len(present) > 1 and all(
            teaches(rows.take(block != number), column)
            for number in present
            for column in range(len(rows.labels))
        ):
            return block
    return None


def seen_vs_unseen(rows: Rows, spec: FeatureSpec, seed: int) -> dict[str, dict[str, Any]]:
    """Compare ranking figures within 7 days for chargers that a model was trained on, and for others.

    Two models are trained on the older readings of one half of the chargers each. Both are judged on the
    newer readings of their own half ("known") and of the other ("strange"). The difference is what a model
    has learned about single chargers, which does not help for new ones. Empty if there are too few failures.
    """
    if len(rows.labels) <= WEEK:
        return {}
    older, newer = split(rows)
    known = newer.labels[WEEK] != UNKNOWN
    half = np.random.default_rng(seed).permutation(int(rows.charger.max()) + 1) % 2
    halves = (older.take(half[older.charger] == side) for side in (0, 1))
    if not len(newer.index) or not all(teaches(train_rows, WEEK) for train_rows in halves):
        return {}
    raw = np.empty((2, len(newer.index)))  # by the model of the row's own half, and of the other
    for side in (0, 1):
        train_rows = older.take(half[older.charger] == side)
        model = boosting.fit(train_rows, WEEK, spec, boosting.TREES // 2, seed)
        scores = model.decision_function(newer.frame)
        own = half[newer.charger] == side
        raw[0, own], raw[1, ~own] = scores[own], scores[~own]
    happened, weight = newer.labels[WEEK][known], newer.weight[known]
    if not 0 < happened.sum() < len(happened):
        return {}
    return {
        name: {
            "pr_auc": float(average_precision_score(happened, scores[known], sample_weight=weight)),
            "roc_auc": float(roc_auc_score(happened, scores[known], sample_weight=weight)),
        }
        for name, scores in zip(("known", "strange"), raw, strict=True)
    }


def _scored(
    judged: Rows,
    spec: FeatureSpec,
    seed: int,
    parts: Callable[[int], Iterator[tuple[Rows, Ints]]],
    progress: Callable[[str], None],
) -> OutOfFold:
    """Score `judged`. `parts(column)` yields training rows and the places in `judged` that they may score."""
    raws: list[Floats] = []
    sizes: list[tuple[int, ...]] = []
    for kind in KINDS:
        bare = kind == KINDS[1]
        seen = bare_of(judged, spec) if bare else judged
        raw = np.empty((len(judged.index), len(judged.labels)))
        chosen: list[int] = []
        for column, name in enumerate(HORIZON_NAMES[: len(judged.labels)]):
            progress(f"fit {name} {kind}, some held out")
            stages = np.empty((boosting.TREES, len(judged.index)), np.float32)
            for train_rows, places in parts(column):
                model = boosting.fit(
                    bare_of(train_rows, spec) if bare else train_rows, column, spec, boosting.TREES, seed
                )
                stages[:, places] = boosting.staged(model, seen.frame[places])
            size = _best(stages, judged, column)
            raw[:, column] = stages[size - 1]
            chosen.append(size)
        raws.append(raw)
        sizes.append(tuple(chosen))
    return OutOfFold(judged, raws[0], raws[1], (sizes[0], sizes[1]))


def _best(stages: Frame, judged: Rows, column: int) -> int:
    """The number of trees with the least log loss, at least `MIN_TREES`."""
    return max(MIN_TREES, int(boosting.losses(stages, judged, column).argmin()) + 1)
