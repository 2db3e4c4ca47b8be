"""Which leaves rows end in, and what each leaf owes to the features: tables made once from a version's trees.

Nothing walks. All questions of all trees are asked at once (QuickScorer, Lucchese et al. 2015), a few numpy
operations whatever the depth: one row takes a tenth of what a walk takes (docs/adr/0007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from models.columns import Floats, Ints
from models.past import Frame

if TYPE_CHECKING:
    from models.trees import Trees

MAX_LEAVES: Final = 64  # one bit each in the widest integer
_LARGEST: Final = np.finfo(np.float32).max


@dataclass(frozen=True, slots=True)
class LeafTables:
    """The leaves of a tree are numbered from left to right, a bit each.

    A question that a row answers with "right" rules out all leaves on its left. The first leaf that no
    question of the tree rules out is where the row ends, though it would have met only some of them.

    `asked`, `threshold`, `kept` [questions, trees]: the value that is asked, and the leaves that remain
    after "right". Value 2f is feature f with missing values above every threshold, 2f + 1 with missing
    values below. Trees of fewer questions are filled up with some that nobody answers with "right".
    `feature` [trees, slots] are the features that a tree asks at all, `credit` [trees x leaves, slots] what
    each leaf owes to them.
    """

    asked: Ints
    threshold: npt.NDArray[np.float32]
    kept: npt.NDArray[np.unsignedinteger]
    feature: Ints
    credit: Floats

    @classmethod
    def of(cls, trees: Trees) -> LeafTables:
        """Raises `ValueError` where a tree has more than `MAX_LEAVES` leaves."""
        all_questions: list[list[_Question]] = []
        all_leaves: list[list[dict[int, float]]] = []
        for root in trees.root.tolist():
            questions: list[_Question] = []
            leaves: list[dict[int, float]] = []
            _gather(trees, root, {}, questions, leaves)
            all_questions.append(questions)
            all_leaves.append(leaves)
        n_leaves = max(map(len, all_leaves))
        if n_leaves > MAX_LEAVES:
            raise ValueError(f"a tree has {n_leaves} leaves, at most {MAX_LEAVES} are possible")
        bits = next(bits for bits in (8, 16, 32, 64) if n_leaves <= bits)

        shape = max(map(len, all_questions)), len(trees.root)
        asked = np.zeros(shape, np.int64)
        threshold = np.full(shape, _LARGEST, np.float32)
        kept = np.full(shape, 2**bits - 1, f"u{bits // 8}")
        features = [sorted({f for leaf in leaves for f in leaf}) for leaves in all_leaves]
        feature = np.zeros((len(trees.root), max(map(len, features))), np.int64)
        credit = np.zeros((len(trees.root), n_leaves, feature.shape[1]))
        for tree, (questions, leaves) in enumerate(zip(all_questions, all_leaves, strict=True)):
            for at, question in enumerate(questions):
                asked[at, tree] = question.asked
                threshold[at, tree] = question.threshold
                kept[at, tree] = 2**bits - 1 - question.left_leaves
            feature[tree, : len(features[tree])] = features[tree]
            for number, leaf in enumerate(leaves):
                credit[tree, number, : len(features[tree])] = [leaf.get(f, 0.0) for f in features[tree]]
        return cls(asked, threshold, kept, feature, credit.reshape(len(feature) * n_leaves, feature.shape[1]))

    def reached(self, frame: Frame) -> Ints:
        """[rows, trees]: the row of `credit` for the leaf that each row of the frame ends in."""
        by_column = np.minimum(frame.T, _LARGEST)  # only what is missing is above every threshold
        missing = np.isnan(by_column)
        values = np.empty((len(by_column), 2, len(frame)), np.float32)
        values[:, 0] = np.where(missing, np.inf, by_column)
        values[:, 1] = np.where(missing, -np.inf, by_column)
        right = values.reshape(-1, len(frame)).take(self.asked, axis=0) > self.threshold[:, :, None]
        every = self.kept.dtype.type(np.iinfo(self.kept.dtype).max)
        open_leaves = np.bitwise_and.reduce(np.where(right, self.kept[:, :, None], every), axis=0)
        first = np.bitwise_count((open_leaves & -open_leaves) - self.kept.dtype.type(1))
        per_tree = len(self.credit) // len(self.feature)
        reached: Ints = first.T + np.arange(len(self.feature)) * per_tree
        return reached

    def contributions(self, frame: Frame) -> Floats:
        """[rows, features]: what the leaves that a row ends in owe to each feature, tree after tree."""
        rows, width = frame.shape
        credit = self.credit.take(self.reached(frame), axis=0)
        at = self.feature.ravel() + (np.arange(rows) * width)[:, None]
        total = np.bincount(at.ravel(), credit.ravel(), rows * width).astype(np.float64, copy=False)
        return total.reshape(rows, width)


@dataclass(frozen=True, slots=True)
class _Question:
    asked: int
    threshold: float
    left_leaves: int  # bits


def _gather(
    trees: Trees,
    node: int,
    owed: dict[int, float],
    questions: list[_Question],
    leaves: list[dict[int, float]],
) -> int:
    """Append the questions and leaves below `node`, from left to right; returns its leaves as bits.

    `owed` is what the path to the node owes to each feature.
    """
    left, right = int(trees.left[node]), int(trees.right[node])
    if left == node:
        leaves.append(owed)
        return 1 << (len(leaves) - 1)
    feature = int(trees.feature[node])
    below = []
    for child in (left, right):
        change = float(trees.value[child] - trees.value[node])
        path = {**owed, feature: owed.get(feature, 0.0) + change}
        below.append(_gather(trees, child, path, questions, leaves))
    questions.append(
        _Question(
            2 * feature + int(trees.missing_left[node]),
            # An infinite threshold parts the missing from the known: it too stays below missing's infinity.
            min(float(trees.threshold[node]), float(_LARGEST)),
            below[0],
        )
    )
    return below[0] | below[1]
