"""Read the trees of an exported failure graph, to add them to another one. Offline only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from errors import ModelRefused
from models.features.columns import Floats, Ints
from models.training.onnx_export import Branch, Leaf, Tree


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
