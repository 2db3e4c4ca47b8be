"""From scikit-learn to ONNX and to `Trees`. Offline only.

The three horizons become one graph with one tree operator that gives raw log-odds [n, horizons]: one run
serves all of them, and no probability is turned back into log-odds. Thresholds are rounded down to float32
first, in scikit-learn's own trees too, so that both sides take the same branch on every float32 row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.ensemble._iforest import _average_path_length

from models.columns import Floats
from models.features import Frame
from models.trees import Trees

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


def boosted_to_onnx(models: Sequence[HistGradientBoostingClassifier]) -> bytes:
    """One graph `features` [n, f] float32 -> `raw` [n, len(models)] float32. Round the thresholds first."""
    ensemble = _Ensemble()
    tree = 0
    for target, model in enumerate(models):
        for (predictor,) in model._predictors:
            for index, node in enumerate(predictor.nodes):
                if node["is_leaf"]:
                    ensemble.leaf(tree, index, target, float(node["value"]))
                else:
                    ensemble.branch(
                        tree,
                        index,
                        asks=(int(node["feature_idx"]), float(node["num_threshold"])),
                        children=(int(node["left"]), int(node["right"])),
                        missing_left=bool(node["missing_go_to_left"]),
                    )
            tree += 1
    operator = ensemble.operator(
        "raw",
        n_targets=len(models),
        base_values=[float(model._baseline_prediction[0, 0]) for model in models],
    )
    return _finished("failure", [operator], int(models[0].n_features_in_), "raw", len(models))


def forest_to_onnx(forest: IsolationForest) -> bytes:
    """One graph `features` [n, f] float32 -> `score_samples` [n, 1] float32: the higher the more ordinary.

    One tree operator adds up the depths of scikit-learn's formula. skl2onnx makes 2,170 operators of it, for
    which one row takes fifty times as long.
    """
    ensemble = _Ensemble()
    for number, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        columns = forest.estimators_features_[number]
        depth = forest._decision_path_lengths[number] + forest._average_path_length_per_tree[number] - 1.0
        threshold = rounded_down(tree.threshold)
        for index in range(tree.node_count):
            children = int(tree.children_left[index]), int(tree.children_right[index])
            if children[0] < 0:
                ensemble.leaf(number, index, 0, float(depth[index]))
            else:
                asks = int(columns[tree.feature[index]]), float(threshold[index])
                ensemble.branch(number, index, asks=asks, children=children, missing_left=False)
    usual_depth = len(forest.estimators_) * float(_average_path_length([forest._max_samples])[0])
    operators = [
        ensemble.operator("depth", n_targets=1),
        helper.make_node("Constant", [], ["scale"], value_float=-1.0 / usual_depth),
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Mul", ["depth", "scale"], ["exponent"]),
        helper.make_node("Pow", ["two", "exponent"], ["rarity"]),
        helper.make_node("Neg", ["rarity"], ["score_samples"]),
    ]
    return _finished("anomaly", operators, int(forest.n_features_in_), "score_samples", 1)


class _Ensemble:
    """Trees, node by node, as the attributes of one ONNX TreeEnsembleRegressor."""

    def __init__(self) -> None:
        self._attributes: dict[str, list[Any]] = defaultdict(list)

    def leaf(self, tree: int, node: int, target: int, weight: float) -> None:
        self._node(tree, node, "LEAF", (0, 0.0), (0, 0), missing_left=False)
        for name, value in (("treeids", tree), ("nodeids", node), ("ids", target), ("weights", weight)):
            self._attributes[f"target_{name}"].append(value)

    def branch(
        self, tree: int, node: int, *, asks: tuple[int, float], children: tuple[int, int], missing_left: bool
    ) -> None:
        """Left where the feature `asks[0]` is not above the threshold `asks[1]`."""
        self._node(tree, node, "BRANCH_LEQ", asks, children, missing_left=missing_left)

    def _node(
        self,
        tree: int,
        node: int,
        mode: str,
        asks: tuple[int, float],
        children: tuple[int, int],
        *,
        missing_left: bool,
    ) -> None:
        for name, value in (
            ("treeids", tree),
            ("nodeids", node),
            ("modes", mode),
            ("featureids", asks[0]),
            ("values", asks[1]),
            ("truenodeids", children[0]),
            ("falsenodeids", children[1]),
            ("missing_value_tracks_true", int(missing_left)),
        ):
            self._attributes[f"nodes_{name}"].append(value)

    def operator(self, output: str, **more: Any) -> Any:
        """Adds up the leaves' weights, for each target; `more` are further attributes of the operator."""
        attributes: dict[str, Any] = {**self._attributes, **more}
        return helper.make_node("TreeEnsembleRegressor", [INPUT], [output], domain="ai.onnx.ml", **attributes)


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


def boosted_to_trees(model: HistGradientBoostingClassifier) -> Trees:
    """The trees with an expected value at every node: the mean of the leaves, by training rows."""
    parts: dict[str, list[Any]] = {
        name: [] for name in ("feature", "threshold", "missing_left", "left", "right", "value")
    }
    root: list[int] = []
    start = depth = 0
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        own = np.arange(len(nodes))
        value = nodes["value"].astype(np.float64)
        for index in reversed(range(len(nodes))):  # children stand behind their parent
            if not leaf[index]:
                children = [int(nodes["left"][index]), int(nodes["right"][index])]
                value[index] = np.average(value[children], weights=nodes["count"][children])
        root.append(start)
        parts["feature"].append(np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32))
        parts["threshold"].append(nodes["num_threshold"].astype(np.float32))
        parts["missing_left"].append(nodes["missing_go_to_left"].astype(bool))
        parts["left"].append((start + np.where(leaf, own, nodes["left"])).astype(np.int32))
        parts["right"].append((start + np.where(leaf, own, nodes["right"])).astype(np.int32))
        parts["value"].append(value)
        depth = max(depth, int(nodes["depth"].max()))
        start += len(nodes)
    arrays = {name: np.concatenate(values) for name, values in parts.items()}
    return Trees(
        root=np.array(root, np.int32),
        depth=depth,
        baseline=float(model._baseline_prediction[0, 0]),
        **arrays,
    )


def raw_scores(model: HistGradientBoostingClassifier, frame: Frame) -> Floats:
    """scikit-learn's own raw log-odds [n]."""
    scores: Floats = model.decision_function(frame)
    return scores
