"""The leaves found all at once are those that a walk from the root finds."""

from __future__ import annotations

import numpy as np
import pytest

from models.columns import Floats
from models.features import Frame
from models.leaves import MAX_LEAVES
from models.trees import Trees

WIDTH = 6


def grown(rng: np.random.Generator, n_trees: int, n_leaves: int) -> Trees:
    """Random trees: any shape, thresholds that rows hit exactly, some that part missing from known."""
    feature: list[int] = []
    threshold: list[float] = []
    missing_left: list[bool] = []
    left: list[int] = []
    right: list[int] = []
    value: list[float] = []
    root: list[int] = []
    for _ in range(n_trees):
        start = len(feature)
        root.append(start)
        nodes = [start]

        def add() -> int:
            feature.append(int(rng.integers(WIDTH)))
            threshold.append(float(rng.choice([-1.0, 0.0, 0.5, 1.0, np.inf])))
            missing_left.append(bool(rng.random() < 0.5))
            value.append(float(rng.normal()))
            left.append(len(feature) - 1)
            right.append(len(feature) - 1)
            return len(feature) - 1

        add()
        for _ in range(n_leaves - 1):
            parent = nodes.pop(int(rng.integers(len(nodes))))
            left[parent], right[parent] = add(), add()
            nodes += [left[parent], right[parent]]
    return Trees(
        root=np.array(root, np.int32),
        feature=np.array(feature, np.int32),
        threshold=np.array(threshold, np.float32),
        missing_left=np.array(missing_left),
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        value=np.array(value),
        depth=n_leaves,
        baseline=0.0,
    )


def walked(trees: Trees, row: Frame) -> Floats:
    credit = np.zeros(WIDTH)
    for root in trees.root:
        node = root
        while trees.left[node] != node:
            asked = row[trees.feature[node]]
            goes_left = trees.missing_left[node] if np.isnan(asked) else asked <= trees.threshold[node]
            child = trees.left[node] if goes_left else trees.right[node]
            credit[trees.feature[node]] += trees.value[child] - trees.value[node]
            node = child
    return credit


@pytest.fixture(scope="module")
def frame() -> Frame:
    rng = np.random.default_rng(5)
    rows = rng.choice([-np.inf, -2.0, -1.0, 0.0, 0.5, 0.7, 1.0, 3.0, np.inf, np.nan], (400, WIDTH)).astype(
        np.float32
    )
    rows[:3] = np.nan
    return rows


@pytest.mark.parametrize("n_leaves", [1, 2, 8, 9, 16, 33, MAX_LEAVES])
def test_contributions_are_those_of_a_walk(frame: Frame, n_leaves: int) -> None:
    trees = grown(np.random.default_rng(n_leaves), 20, n_leaves)
    expected = np.array([walked(trees, row) for row in frame])
    np.testing.assert_allclose(trees.contributions(frame), expected, rtol=0, atol=1e-12)


def test_a_row_alone_is_the_same_row_among_others_bit_for_bit(frame: Frame) -> None:
    trees = grown(np.random.default_rng(1), 50, 16)
    together = trees.contributions(frame)
    for index in range(0, len(frame), 37):
        np.testing.assert_array_equal(trees.contributions(frame[index : index + 1])[0], together[index])


def test_trees_that_are_too_wide_are_refused() -> None:
    with pytest.raises(ValueError, match="65 leaves"):
        grown(np.random.default_rng(2), 2, MAX_LEAVES + 1)
