"""From scikit-learn to ONNX and to `Trees`. Offline only.

The three horizons become one graph with one tree operator that gives raw log-odds [n, horizons]: one run
serves all of them, and no probability is turned back into log-odds. Thresholds are rounded down to float32
first, in scikit-learn's own trees too, so that both sides take the same branch on every float32 row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
)

from models.columns import Floats
from models.features import Frame
from models.trees import Trees

INPUT: str = "features"
OPSET = 17
ML_OPSET = 3


def round_thresholds(model: HistGradientBoostingClassifier) -> None:
    """Move each threshold to the largest float32 not above it: no float32 row changes its branch."""
    for (predictor,) in model._predictors:
        exact = predictor.nodes["num_threshold"]
        rounded = exact.astype(np.float32)
        above = rounded.astype(np.float64) > exact
        rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
        predictor.nodes["num_threshold"] = rounded.astype(np.float64)


def boosted_to_onnx(models: Sequence[HistGradientBoostingClassifier]) -> bytes:
    """One graph `features` [n, f] float32 -> `raw` [n, len(models)] float32. Round the thresholds first."""
    nodes: dict[str, list[Any]] = {name: [] for name in _NODE_FIELDS}
    leaves: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    tree = 0
    for target, model in enumerate(models):
        for (predictor,) in model._predictors:
            for index, node in enumerate(predictor.nodes):
                is_leaf = bool(node["is_leaf"])
                nodes["treeids"].append(tree)
                nodes["nodeids"].append(index)
                nodes["modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
                nodes["featureids"].append(0 if is_leaf else int(node["feature_idx"]))
                nodes["values"].append(0.0 if is_leaf else float(node["num_threshold"]))
                nodes["truenodeids"].append(0 if is_leaf else int(node["left"]))
                nodes["falsenodeids"].append(0 if is_leaf else int(node["right"]))
                nodes["missing_value_tracks_true"].append(int(not is_leaf and node["missing_go_to_left"]))
                if is_leaf:
                    leaves["treeids"].append(tree)
                    leaves["nodeids"].append(index)
                    leaves["ids"].append(target)
                    leaves["weights"].append(float(node["value"]))
            tree += 1
    attributes: dict[str, Any] = {
        **{f"nodes_{name}": values for name, values in nodes.items()},
        **{f"target_{name}": values for name, values in leaves.items()},
    }
    operator = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        ["raw"],
        domain="ai.onnx.ml",
        n_targets=len(models),
        base_values=[float(model._baseline_prediction[0, 0]) for model in models],
        **attributes,
    )
    width = int(models[0].n_features_in_)
    graph = helper.make_graph(
        [operator],
        "failure",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("raw", TensorProto.FLOAT, [None, len(models)])],
    )
    return _finished(graph)


_NODE_FIELDS = (
    "treeids",
    "nodeids",
    "modes",
    "featureids",
    "values",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)


def _finished(graph: Any) -> bytes:
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


def forest_to_onnx(forest: IsolationForest, sample: Frame) -> bytes:
    """`features` [n, f] float32 -> label and score (the higher the more ordinary)."""
    converted = to_onnx(
        forest, sample[:1], target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET}, options={"score_samples": True}
    )
    written: bytes = converted.SerializeToString()
    return written


def raw_scores(model: HistGradientBoostingClassifier, frame: Frame) -> Floats:
    """scikit-learn's own raw log-odds [n]."""
    scores: Floats = model.decision_function(frame)
    return scores
