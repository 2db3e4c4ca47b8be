"""Export scikit-learn models to ONNX. Offline only.

A failure version is one graph with one tree operator. It returns raw log-odds and each feature's
contribution. So one run serves all horizons and the reasons, and no probability is converted back to
log-odds.

Thresholds are first rounded down to float32, in scikit-learn's trees too. Both sides then take the same
branch on every float32 row.
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
from models.tree_shap import LEAF, Trees

INPUT: str = "features"
OPSET = 17
ML_OPSET = 3


def round_thresholds(model: HistGradientBoostingClassifier) -> None:
    """Round each threshold down to float32, in place. No float32 row changes its branch."""
    for (predictor,) in model._predictors:
        predictor.nodes["num_threshold"] = rounded_down(predictor.nodes["num_threshold"])


def rounded_down(exact: Floats) -> Floats:
    """The largest float32 values not above `exact`, as float64."""
    rounded = exact.astype(np.float32)
    above = rounded.astype(np.float64) > exact
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded.astype(np.float64)


def boosted_to_onnx(
    with_history: Sequence[HistGradientBoostingClassifier],
    without_history: Sequence[HistGradientBoostingClassifier],
    *,
    told_by: int,
    more: Sequence[Tree] = (),
) -> bytes:
    """One graph `features` [n, f] float32 -> `raw` [n, horizons + f] float32. Round the thresholds first.

    There is one model per horizon. Rows without the feature `told_by` are scored by the models without
    history, other rows by those with it. Each tree of the graph tests for that first, and then contains one
    tree of either kind. The first output columns are the log-odds of each horizon, the others the features'
    contributions to the last horizon.

    Contributions are those of Saabas. Each step of a row's path changes the expected value, and the change is
    credited to the feature of that split. A row's contributions add up to its log-odds minus those of the
    mean training row (`mean_log_odds`). Credit between interacting features depends on their order in the
    tree. They are read where a version has no file of trees for exact ones (`trees_of`, docs/adr/0022).

    `more` are trees of another version that add to the same outputs (`models/training/base_version.py`).
    """
    horizons, width = len(with_history), int(with_history[0].n_features_in_)
    baselines = [
        stump({horizon: _baseline(model) for horizon, model in enumerate(models)})
        for models in (with_history, without_history)
    ]
    trees = [fork(told_by, *baselines)]
    for horizon, models in enumerate(zip(with_history, without_history, strict=True)):
        credit_from = horizons if horizon == horizons - 1 else None
        for predictors in zip_longest(*(model._predictors for model in models)):
            known, missing = (
                stump({horizon: 0.0}) if one is None else _grown(one[0].nodes, horizon, credit_from)
                for one in predictors
            )
            trees.append(fork(told_by, known, missing))
    trees.extend(more)
    operator = _operator(trees, "raw", n_targets=horizons + width)
    return _finished("failure", [operator], width, "raw", horizons + width)


def trees_of(model: HistGradientBoostingClassifier) -> Trees:
    """The nodes of a model for its exact contributions. Round the thresholds first."""
    nodes = np.concatenate([predictor.nodes for (predictor,) in model._predictors])
    sizes = [len(predictor.nodes) for (predictor,) in model._predictors]
    roots = np.cumsum([0, *sizes[:-1]])
    start = np.repeat(roots, sizes)
    return Trees(
        roots=roots,
        feature=np.where(nodes["is_leaf"], LEAF, nodes["feature_idx"]).astype(np.int32),
        threshold=nodes["num_threshold"].astype(np.float32),
        left=start + nodes["left"],
        right=start + nodes["right"],
        missing_left=nodes["missing_go_to_left"].astype(np.bool_),
        value=nodes["value"].astype(np.float64),
        cover=nodes["count"].astype(np.float64),
    )


def scale(model: HistGradientBoostingClassifier, factor: float) -> None:
    """Multiply the model's raw log-odds by `factor`, in place."""
    model._baseline_prediction *= factor
    for (predictor,) in model._predictors:
        predictor.nodes["value"] *= factor


def mean_log_odds(model: HistGradientBoostingClassifier) -> float:
    """Raw log-odds of the mean training row, the base of contributions."""
    return _baseline(model) + float(sum(_expected(one.nodes)[0] for (one,) in model._predictors))


def forest_to_onnx(forest: IsolationForest) -> bytes:
    """One graph `features` [n, f] float32 -> `score_samples` [n, 1] float32; higher is more ordinary.

    One tree operator sums the path lengths of scikit-learn's formula. skl2onnx creates 2,170 operators for
    it, and one row then takes fifty times as long.
    """
    trees: list[Tree] = []
    for number, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        columns = forest.estimators_features_[number]
        depth = forest._decision_path_lengths[number] + forest._average_path_length_per_tree[number] - 1.0
        threshold = rounded_down(tree.threshold)
        trees.append(
            [
                Leaf({0: float(depth[index])})
                if tree.children_left[index] < 0
                else Branch(
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


class Leaf(NamedTuple):
    """Weights that a row ending here adds to each target."""

    weights: Mapping[int, float]


class Branch(NamedTuple):
    """Continue at node `left` if the feature is not above the threshold, else at `right`."""

    feature: int
    threshold: float
    left: int
    right: int
    missing_left: bool


Tree = list[Leaf | Branch]
_NO_BRANCH = Branch(0, 0.0, 0, 0, missing_left=False)  # the attributes that the format needs for a leaf


def stump(weights: Mapping[int, float]) -> Tree:
    """A tree with the same weights for every row."""
    return [Leaf(weights)]


def fork(feature: int, known: Tree, missing: Tree) -> Tree:
    """A tree that continues in one of two others, depending on whether the feature is known."""
    start = 1 + len(known)
    return [
        Branch(feature, float("inf"), 1, start, missing_left=False),
        *_moved(known, 1),
        *_moved(missing, start),
    ]


def _moved(tree: Tree, by: int) -> Tree:
    return [
        node if isinstance(node, Leaf) else node._replace(left=node.left + by, right=node.right + by)
        for node in tree
    ]


def _grown(nodes: Any, horizon: int, credit_from: int | None) -> Tree:
    """The nodes of one scikit-learn tree. Its leaves add to the target `horizon`.

    With `credit_from`, leaves also add each feature's contribution to the target `credit_from` + feature.
    """
    owed = _owed(nodes) if credit_from is not None else [{}] * len(nodes)
    return [
        Leaf(
            {horizon: float(node["value"])}
            | {(credit_from or 0) + feature: share for feature, share in shares.items()}
        )
        if node["is_leaf"]
        else Branch(
            int(node["feature_idx"]),
            float(node["num_threshold"]),
            int(node["left"]),
            int(node["right"]),
            bool(node["missing_go_to_left"]),
        )
        for node, shares in zip(nodes, owed, strict=True)
    ]


def _owed(nodes: Any) -> list[dict[int, float]]:
    """For each node, the change of the expected value by each feature on its path."""
    value = _expected(nodes)
    owed: list[dict[int, float]] = [{} for _ in nodes]
    for index, node in enumerate(nodes):  # children come after their parent
        if not node["is_leaf"]:
            feature = int(node["feature_idx"])
            for child in (int(node["left"]), int(node["right"])):
                change = float(value[child] - value[index])
                owed[child] = {**owed[index], feature: owed[index].get(feature, 0.0) + change}
    return owed


def _expected(nodes: Any) -> Floats:
    """Mean of the leaves below each node [nodes], weighted by training rows."""
    value: Floats = nodes["value"].astype(np.float64)
    for index in reversed(range(len(nodes))):
        if not nodes["is_leaf"][index]:
            children = [int(nodes["left"][index]), int(nodes["right"][index])]
            value[index] = np.average(value[children], weights=nodes["count"][children])
    return value


def _baseline(model: HistGradientBoostingClassifier) -> float:
    return float(model._baseline_prediction[0, 0])


def _operator(trees: Sequence[Tree], output: str, *, n_targets: int) -> Any:
    """One TreeEnsembleRegressor: sums the weights of each row's leaves, for each target."""
    attributes: dict[str, list[Any]] = defaultdict(list)

    def add(prefix: str, **values: Any) -> None:
        for name, value in values.items():
            attributes[f"{prefix}_{name}"].append(value)

    for number, tree in enumerate(trees):
        for index, node in enumerate(tree):
            branch = _NO_BRANCH if isinstance(node, Leaf) else node
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
            for target, weight in node.weights.items() if isinstance(node, Leaf) else ():
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
