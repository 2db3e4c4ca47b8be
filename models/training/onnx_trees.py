"""Read the trees of an exported failure graph, to add them to another one. Offline only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from errors import ModelRefused
from models.features.columns import Floats, Ints
from models.features.frame import Frame
from models.training.onnx_export import Branch, Leaf, Tree
from models.tree_shap import LEAF, Trees

# So that no share is of nothing.
LEAST_COVER = 1e-6


@dataclass(frozen=True, slots=True)
class Moves:
    """How the trees of a version become those of another.

    `features` [base features] are the columns in the other version's frame. `horizons` are the base's
    horizons that the other's outputs are made of, one for each output. `factors` [2, base horizons] multiply
    the log-odds with history and without.
    """

    features: Ints
    horizons: Sequence[int]
    factors: Floats


def trees_of(graph: bytes, told_by: int) -> list[Tree]:
    """The trees of a graph by `boosted_to_onnx`. Raises `ModelRefused` for any other graph."""
    operators = onnx.load_model_from_string(graph).graph.node
    if [operator.op_type for operator in operators] != ["TreeEnsembleRegressor"]:
        raise ModelRefused("its graph is not one of trees, so that no version can begin from it")
    given = {one.name: onnx.helper.get_attribute_value(one) for one in operators[0].attribute}
    weights: dict[tuple[int, int], dict[int, float]] = {}
    for tree, node, target, weight in zip(
        *(given[f"target_{name}"] for name in ("treeids", "nodeids", "ids", "weights")), strict=True
    ):
        weights.setdefault((tree, node), {})[target] = weight
    trees: list[Tree] = []
    parts = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
    for tree, node, mode, feature, value, left, right, missing_left in zip(
        *(given[f"nodes_{name}"] for name in (*parts, "missing_value_tracks_true")), strict=True
    ):
        if node == 0:
            trees.append([])
        if mode == b"LEAF":
            trees[-1].append(Leaf(weights.get((tree, node), {})))
        else:
            trees[-1].append(Branch(feature, value, left, right, missing_left=bool(missing_left)))
    if not all(isinstance(tree[0], Branch) and tree[0].feature == told_by for tree in trees):
        raise ModelRefused("its trees do not begin with the history, so that no version can begin from it")
    return trees


def explained(trees: Sequence[Tree], target: int, factor: float, frame: Frame, weight: Floats) -> Trees:
    """Trees for contributions to the output `target`, times `factor`.

    `trees` are those of one kind of readings. The covers of their nodes are those of the rows of `frame`, by
    `weight`: contributions are then against the mean of these rows.
    """
    nodes: list[tuple[int, float, int, int, bool, float, float]] = []
    roots: list[int] = []
    for tree in trees:
        if not any(target in node.weights for node in tree if isinstance(node, Leaf)):
            continue
        start = len(nodes)
        roots.append(start)
        passing = {0: np.arange(len(frame))}
        for index, node in enumerate(tree):  # children come after their parent
            rows = passing.pop(index)
            cover = float(weight[rows].sum())
            if isinstance(node, Leaf):
                cover += LEAST_COVER
                value = node.weights.get(target, 0.0) * factor
                nodes.append((LEAF, 0.0, start + index, start + index, False, value, cover))
                continue
            values = frame[rows, node.feature]
            left = np.where(np.isnan(values), node.missing_left, values <= np.float32(node.threshold))
            passing |= {node.left: rows[left], node.right: rows[~left]}
            children = (start + node.left, start + node.right)
            nodes.append((node.feature, node.threshold, *children, node.missing_left, 0.0, 0.0))
    columns: Sequence[Sequence[Any]] = list(zip(*nodes, strict=True)) or [()] * 7
    types: Sequence[Any] = (np.int32, np.float32, np.int64, np.int64, np.bool_, np.float64, np.float64)
    arrays: list[Any] = [np.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    found = Trees(np.array(roots, np.int64), *arrays)
    for index in reversed(
        np.flatnonzero(found.feature != LEAF)
    ):  # what reaches the children reached the parent
        found.cover[index] = found.cover[found.left[index]] + found.cover[found.right[index]]
    return found


def of_kind(tree: Tree, *, without_history: bool) -> Tree:
    """The part of a tree below its root for one kind of readings."""
    root = tree[0]
    if isinstance(root, Leaf):
        return tree
    begin, end = (root.right, len(tree)) if without_history else (root.left, root.right)
    return [
        node._replace(left=node.left - begin, right=node.right - begin) if isinstance(node, Branch) else node
        for node in tree[begin:end]
    ]


def moved(tree: Tree, moves: Moves) -> Tree:
    """The tree on the other version's features and outputs, its weights multiplied.

    Contributions are multiplied by the factor of the last output's horizon.
    """
    # The root is a branch, as `trees_of` has checked. The nodes without history come last.
    without = tree[0].right if isinstance(tree[0], Branch) else 0
    return [
        node._replace(feature=int(moves.features[node.feature]))
        if isinstance(node, Branch)
        else Leaf(_moved_weights(node, moves, without_history=int(index >= without)))
        for index, node in enumerate(tree)
    ]


def _moved_weights(leaf: Leaf, moves: Moves, *, without_history: int) -> dict[int, float]:
    factors = moves.factors[without_history]
    count, outputs = len(factors), len(moves.horizons)
    weights: dict[int, float] = {}
    for target, weight in leaf.weights.items():
        if target < count:
            for output, horizon in enumerate(moves.horizons):
                if horizon == target:
                    weights[output] = weight * float(factors[target])
        else:
            column = outputs + int(moves.features[target - count])
            weights[column] = weight * float(factors[moves.horizons[-1]])
    return weights
