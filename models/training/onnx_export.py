"""From scikit-learn to ONNX. Offline only.

All of a failure version is one graph with one tree operator, which gives raw log-odds and what each feature
adds to them: one run serves all horizons and the reasons, and no probability is turned back into log-odds.
Thresholds are rounded down to float32 first, in scikit-learn's own trees too, so that both sides take the
same branch on every float32 row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.ensemble._iforest import _average_path_length

from models.features.columns import Floats

INPUT: str = "features"
OPSET = 17
ML_OPSET = 3


def round_thresholds(model: HistGradientBoostingClassifier) -> None:
    """Move each threshold to the largest float32 not above it: no float32 row changes its branch."""
    for (predictor,) in model._predictors:
        predictor.nodes["num_threshold"] = rounded_down(predictor.nodes["num_threshold"])


def rounded_down(exact: Floats) -> Floats:
    """The largest float32 values that are not above `exact`."""
    rounded = exact.astype(np.float32)
    above = rounded.astype(np.float64) > exact
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded.astype(np.float64)


def boosted_to_onnx(
    with_history: Sequence[HistGradientBoostingClassifier],
    without_history: Sequence[HistGradientBoostingClassifier],
    *,
    told_by: int,
) -> bytes:
    """One graph `features` [n, f] float32 -> `raw` [n, horizons + f] float32. Round the thresholds first.

    The models are one for each horizon. Rows whose feature `told_by` is missing are scored by those without
    history, all others by those with it: each tree of the graph asks for that first, and has one of either
    below. The first columns are the log-odds of each horizon, the others what each feature contributes to
    those of the last one.

    Contributions (Saabas): along a row's path through a tree each step changes the expected value; the change
    is credited to the feature that was asked. The credits of a row add up to its log-odds minus those of the
    mean training row (`mean_log_odds`). Unlike exact SHAP values, credit between features that act together
    depends on their order in the tree. A leaf knows its whole path, so that all this costs a fifth of the
    scores themselves, where exact values cost hundreds of times more (docs/adr/0007).
    """
    horizons, width = len(with_history), int(with_history[0].n_features_in_)
    baselines = [
        _stump({horizon: _baseline(model) for horizon, model in enumerate(models)})
        for models in (with_history, without_history)
    ]
    trees = [_fork(told_by, *baselines)]
    for horizon, models in enumerate(zip(with_history, without_history, strict=True)):
        credit_from = horizons if horizon == horizons - 1 else None
        for predictors in zip_longest(*(model._predictors for model in models)):
            known, missing = (
                _stump({horizon: 0.0}) if one is None else _grown(one[0].nodes, horizon, credit_from)
                for one in predictors
            )
            trees.append(_fork(told_by, known, missing))
    operator = _operator(trees, "raw", n_targets=horizons + width)
    return _finished("failure", [operator], width, "raw", horizons + width)


def mean_log_odds(model: HistGradientBoostingClassifier) -> float:
    """Raw log-odds of the mean training row: where contributions start from."""
    return _baseline(model) + float(sum(_expected(one.nodes)[0] for (one,) in model._predictors))


def forest_to_onnx(forest: IsolationForest) -> bytes:
    """One graph `features` [n, f] float32 -> `score_samples` [n, 1] float32: the higher the more ordinary.

    One tree operator adds up the depths of scikit-learn's formula. skl2onnx makes 2,170 operators of it, for
    which one row takes fifty times as long.
    """
    trees: list[_Tree] = []
    for number, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        columns = forest.estimators_features_[number]
        depth = forest._decision_path_lengths[number] + forest._average_path_length_per_tree[number] - 1.0
        threshold = rounded_down(tree.threshold)
        trees.append(
            [
                _Leaf({0: float(depth[index])})
                if tree.children_left[index] < 0
                else _Branch(
                    int(columns[tree.feature[index]]),
                    float(threshold[index]),
                    int(tree.children_left[index]),
                    int(tree.children_right[index]),
                    missing_left=False,
                )
                for index in range(tree.node_count)
            ]
        )
    usual_depth = len(forest.estimators_) * float(_average_path_length([forest._max_samples])[0])
    operators = [
        _operator(trees, "depth", n_targets=1),
        helper.make_node("Constant", [], ["scale"], value_float=-1.0 / usual_depth),
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Mul", ["depth", "scale"], ["exponent"]),
        helper.make_node("Pow", ["two", "exponent"], ["rarity"]),
        helper.make_node("Neg", ["rarity"], ["score_samples"]),
    ]
    return _finished("anomaly", operators, int(forest.n_features_in_), "score_samples", 1)


class _Leaf(NamedTuple):
    """What a row that ends here adds to each target."""

    weights: Mapping[int, float]


class _Branch(NamedTuple):
    """On to the node `left` where the feature is not above the threshold."""

    feature: int
    threshold: float
    left: int
    right: int
    missing_left: bool


_Tree = list[_Leaf | _Branch]
_NO_BRANCH = _Branch(0, 0.0, 0, 0, missing_left=False)  # what the format wants of a leaf


def _stump(weights: Mapping[int, float]) -> _Tree:
    """The same for every row."""
    return [_Leaf(weights)]


def _fork(feature: int, known: _Tree, missing: _Tree) -> _Tree:
    """A tree that goes on in one of two others, by whether the feature is known."""
    start = 1 + len(known)
    return [
        _Branch(feature, float("inf"), 1, start, missing_left=False),
        *_moved(known, 1),
        *_moved(missing, start),
    ]


def _moved(tree: _Tree, by: int) -> _Tree:
    return [
        node if isinstance(node, _Leaf) else node._replace(left=node.left + by, right=node.right + by)
        for node in tree
    ]


def _grown(nodes: Any, horizon: int, credit_from: int | None) -> _Tree:
    """scikit-learn's `nodes` of one tree, whose leaves add to the target `horizon`.

    With `credit_from` also what each feature f owes to their path, to the targets `credit_from` + f.
    """
    owed = _owed(nodes) if credit_from is not None else [{}] * len(nodes)
    return [
        _Leaf(
            {horizon: float(node["value"])}
            | {(credit_from or 0) + feature: share for feature, share in shares.items()}
        )
        if node["is_leaf"]
        else _Branch(
            int(node["feature_idx"]),
            float(node["num_threshold"]),
            int(node["left"]),
            int(node["right"]),
            bool(node["missing_go_to_left"]),
        )
        for node, shares in zip(nodes, owed, strict=True)
    ]


def _owed(nodes: Any) -> list[dict[int, float]]:
    """For each node by how much each feature on its path has changed the expected value."""
    value = _expected(nodes)
    owed: list[dict[int, float]] = [{} for _ in nodes]
    for index, node in enumerate(nodes):  # children stand behind their parent
        if not node["is_leaf"]:
            feature = int(node["feature_idx"])
            for child in (int(node["left"]), int(node["right"])):
                change = float(value[child] - value[index])
                owed[child] = {**owed[index], feature: owed[index].get(feature, 0.0) + change}
    return owed


def _expected(nodes: Any) -> Floats:
    """[nodes] the mean of the leaves below each, by training rows."""
    value: Floats = nodes["value"].astype(np.float64)
    for index in reversed(range(len(nodes))):
        if not nodes["is_leaf"][index]:
            children = [int(nodes["left"][index]), int(nodes["right"][index])]
            value[index] = np.average(value[children], weights=nodes["count"][children])
    return value


def _baseline(model: HistGradientBoostingClassifier) -> float:
    return float(model._baseline_prediction[0, 0])


def _operator(trees: Sequence[_Tree], output: str, *, n_targets: int) -> Any:
    """One TreeEnsembleRegressor: adds up the weights of the leaves that a row ends in, for each target."""
    attributes: dict[str, list[Any]] = defaultdict(list)

    def add(prefix: str, **values: Any) -> None:
        for name, value in values.items():
            attributes[f"{prefix}_{name}"].append(value)

    for number, tree in enumerate(trees):
        for index, node in enumerate(tree):
            branch = _NO_BRANCH if isinstance(node, _Leaf) else node
            add(
                "nodes",
                treeids=number,
                nodeids=index,
                modes="LEAF" if branch is _NO_BRANCH else "BRANCH_LEQ",
                featureids=branch.feature,
                values=branch.threshold,
                truenodeids=branch.left,
                falsenodeids=branch.right,
                missing_value_tracks_true=int(branch.missing_left),
            )
            for target, weight in node.weights.items() if isinstance(node, _Leaf) else ():
                add("target", treeids=number, nodeids=index, ids=target, weights=weight)
    more: dict[str, Any] = {**attributes, "n_targets": n_targets}
    return helper.make_node("TreeEnsembleRegressor", [INPUT], [output], domain="ai.onnx.ml", **more)


def _finished(name: str, operators: Sequence[Any], width: int, output: str, targets: int) -> bytes:
    graph = helper.make_graph(
        operators,
        name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, targets])],
    )
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name="evzone-ml-service")
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString()
    return written
