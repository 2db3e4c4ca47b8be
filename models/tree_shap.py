"""Exact SHAP values of boosted trees, by tables that are computed once.

These are the path-dependent values of TreeSHAP: a feature's mean effect over all orders in which features
become known. Unknown features follow both branches, in proportion to the training rows. Source: Lundberg et
al., "From local explanations to global understanding with explainable AI for trees", 2020.

They are computed leaf by leaf. On the path to a leaf are some m features. A row's values for that leaf depend
only on which of them let the row pass. So each leaf has a table of 2^m rows, and a row's values are sums of
table entries. TreeSHAP itself computes these entries anew for each row (docs/adr/0022).
"""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from math import factorial
from typing import Any, Final, NamedTuple

import numpy as np

from models.features.columns import Floats, Ints
from models.features.frame import Frame

# A path with more features would need a table of more than 4,096 rows. Training stays below it.
MOST_FEATURES: Final = 12
LEAF: Final = -1
FILE: Final = "trees.npz"
KINDS: Final = ("with_history", "without_history")
# So that what a part of the rows needs stays in the processor's cache.
ROWS_AT_ONCE: Final = 64


class Trees(NamedTuple):
    """The nodes of all trees of one model, one after the other. Children are positions in these arrays.

    A row goes left if its feature is not above the threshold, or is missing and `missing_left`. `feature` of
    a leaf is -1. `cover` is the number of training rows below a node.
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    missing_left: Any
    value: Floats
    cover: Floats


def joined(one: Trees, other: Trees) -> Trees:
    """The trees of two models, whose log-odds are added."""
    count = len(one.feature)
    moved = other._replace(roots=other.roots + count, left=other.left + count, right=other.right + count)
    return Trees(*(np.concatenate(columns) for columns in zip(one, moved, strict=True)))


class _Step(NamedTuple):
    """What a path asks of one feature, and the share of training rows that pass if only this is asked."""

    low: float
    high: float
    missing: bool
    share: float


class _Path(NamedTuple):
    """The way to one leaf, by feature."""

    value: float
    steps: dict[int, _Step]


class TreeShap:
    """The values of one model's trees. Immutable and thread-safe.

    Raises `ValueError` if a path has too many features for a table.
    """

    def __init__(self, trees: Trees, width: int) -> None:
        paths = [path for root in trees.roots for path in _paths(trees, int(root)) if path.steps]
        # Longest first: the leaves with a further feature are then always the first ones.
        paths.sort(key=lambda path: -len(path.steps))
        if paths and len(paths[0].steps) > MOST_FEATURES:
            raise ValueError(f"a path has {len(paths[0].steps)} features, the limit is {MOST_FEATURES}")
        self._width = width
        self._set_steps(paths)
        self._set_tables(paths)

    def values(self, frame: Frame) -> Floats:
        """Contributions [n, features] to the log-odds.

        A row's contributions add up to its log-odds minus those of the mean training row.
        """
        values = np.zeros((len(frame), self._width))
        for start in range(0, len(frame) if len(self._starts) else 0, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            parts = self._table.take(self._positions(frame[rows]))
            values[rows, self._features] = np.add.reduceat(parts, self._starts, axis=0).T
        return values

    def _positions(self, frame: Frame) -> Ints:
        """Where each entry of each row [entries, n] lies in the tables."""
        value = np.ascontiguousarray(frame.T)[self._step_feature]
        passes = (value > self._low) & (value <= self._high) | np.isnan(value) & self._missing
        passed = passes.view(np.uint8).astype(np.uint16)
        pattern: Any = passed[self._nth_step[0]]
        for bit, steps in enumerate(self._nth_step[1:], start=1):
            pattern[: len(steps)] |= passed[steps] << bit
        positions: Ints = pattern[self._leaf].astype(np.int32)
        positions *= self._stride
        positions += self._begin
        return positions

    def _set_steps(self, paths: list[_Path]) -> None:
        """The steps that differ, as columns, and for each path the numbers of its steps."""
        number: dict[tuple[Any, ...], int] = {}
        nth_step: list[list[int]] = []
        for path in paths:
            for nth, (feature, step) in enumerate(path.steps.items()):
                if nth == len(nth_step):
                    nth_step.append([])
                nth_step[nth].append(number.setdefault((feature, *step[:3]), len(number)))
        asked = list(number) or [(0, 0.0, 0.0, False)]
        self._step_feature = np.array([feature for feature, *_ in asked])
        self._low = np.array([low for _, low, _, _ in asked], np.float32)[:, None]
        self._high = np.array([high for _, _, high, _ in asked], np.float32)[:, None]
        self._missing = np.array([missing for *_, missing in asked])[:, None]
        self._nth_step = [np.array(steps) for steps in nth_step]

    def _set_tables(self, paths: list[_Path]) -> None:
        """The tables of all paths in one array, and for each feature of a path where its entries are."""
        by_size: dict[int, list[int]] = defaultdict(list)
        for leaf, path in enumerate(paths):
            by_size[len(path.steps)].append(leaf)
        tables: list[Floats] = []
        features: list[int] = []
        where: list[tuple[int, int, int]] = []
        start = 0
        for size, leaves in by_size.items():
            value = np.array([paths[leaf].value for leaf in leaves])
            share = np.array([[step.share for step in paths[leaf].steps.values()] for leaf in leaves])
            tables.append(_tables(value, share).ravel())
            for leaf in leaves:
                for nth, feature in enumerate(paths[leaf].steps):
                    features.append(feature)
                    where.append((leaf, size, start + nth))
                start += size << size
        order = np.argsort(np.array(features, np.int64), kind="stable")
        self._features, self._starts = np.unique(np.array(features, np.int64)[order], return_index=True)
        leaf, stride, begin = np.array(where, np.int32).reshape(-1, 3)[order].T
        self._leaf = leaf
        self._stride, self._begin = stride[:, None].copy(), begin[:, None].copy()
        self._table = np.concatenate([*tables, np.zeros(0)])


def _tables(value: Floats, share: Floats) -> Floats:
    """The values [leaves, 2^m, m] of m features, for each pattern of features that let a row pass.

    `value` [leaves] is the leaf's, `share` [leaves, m] the share of training rows that pass a feature.
    """
    n_leaves, size = share.shape
    passes = (np.arange(1 << size)[:, None] >> np.arange(size) & 1).astype(np.float64)
    weight = [factorial(k) * factorial(size - 1 - k) / factorial(size) for k in range(size)]
    result = np.empty((n_leaves, 1 << size, size))
    for feature in range(size):
        # Of all sets of k other known features, the sum of the shares of rows that reach the leaf.
        sums = np.zeros((size, n_leaves, 1 << size))
        sums[0] = 1.0
        for other in range(size):
            if other != feature:
                sums[1:] = sums[1:] * share[:, other, None] + sums[:-1] * passes[:, other]
                sums[0] *= share[:, other, None]
        mean = np.tensordot(weight, sums, axes=1)
        result[:, :, feature] = value[:, None] * (passes[:, feature] - share[:, feature, None]) * mean
    return result


def _paths(trees: Trees, root: int) -> list[_Path]:
    """The ways to all leaves of one tree."""
    found: list[_Path] = []
    waiting: list[tuple[int, dict[int, _Step]]] = [(root, {})]
    while waiting:
        node, steps = waiting.pop()
        feature, threshold = int(trees.feature[node]), float(trees.threshold[node])
        if feature == LEAF:
            found.append(_Path(float(trees.value[node]), steps))
            continue
        before = steps.get(feature, _Step(-np.inf, np.inf, missing=True, share=1.0))
        missing_left = bool(trees.missing_left[node])
        for child, low, high, missing in (
            (int(trees.left[node]), before.low, min(before.high, threshold), missing_left),
            (int(trees.right[node]), max(before.low, threshold), before.high, not missing_left),
        ):
            share = before.share * float(trees.cover[child] / trees.cover[node])
            step = _Step(low, high, before.missing and missing, share)
            waiting.append((child, steps | {feature: step}))
    return found


def to_bytes(with_history: Trees, without_history: Trees) -> bytes:
    """The content of a version's file `FILE`."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        f"{kind}.{column}": values
        for kind, trees in zip(KINDS, (with_history, without_history), strict=True)
        for column, values in trees._asdict().items()
    }
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def of_version(files: Mapping[str, bytes], width: int) -> tuple[TreeShap, TreeShap] | None:
    """For readings with history, and for those without. None if the version has no such file.

    `files` are contents by name. Raises `ValueError`, `KeyError`, `OSError`, `EOFError` if it is damaged.
    """
    if FILE not in files:
        return None
    try:
        with np.load(io.BytesIO(files[FILE]), allow_pickle=False) as arrays:
            with_history, without_history = (
                TreeShap(Trees(*(arrays[f"{kind}.{column}"] for column in Trees._fields)), width)
                for kind in KINDS
            )
    except zipfile.BadZipFile as error:
        raise ValueError(f"{FILE}: {error}") from None
    return with_history, without_history
