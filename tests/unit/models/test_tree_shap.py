"""Contributions are Shapley values: computed here by their definition, over all sets of known features."""

from __future__ import annotations

import io
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from models import tree_shap
from models.features.columns import Floats
from models.features.frame import Frame
from models.training import onnx_export
from models.tree_shap import Trees, TreeShap

WIDTH = 6


@pytest.fixture(scope="module")
def frame() -> Frame:
    rng = np.random.default_rng(11)
    values = rng.normal(size=(3_000, WIDTH)).astype(np.float32)
    values[:, 1] = np.round(values[:, 1])  # many rows exactly on a threshold
    values[rng.random(values.shape) < 0.2] = np.nan
    return values


def boosted(frame: Frame, **more: Any) -> HistGradientBoostingClassifier:
    filled = np.nan_to_num(frame)
    happened = filled[:, 0] * filled[:, 1] + filled[:, 2] > 0.4
    model = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=12, random_state=1, **more)
    model.fit(frame, happened)
    onnx_export.round_thresholds(model)
    return model


@pytest.fixture(scope="module")
def model(frame: Frame) -> HistGradientBoostingClassifier:
    return boosted(frame)


def expected(nodes: Any, index: int, row: Frame, known: set[int]) -> float:
    """The mean of a tree if only the features `known` are: other splits go both ways."""
    node = nodes[index]
    if node["is_leaf"]:
        return float(node["value"])
    below = [int(node["left"]), int(node["right"])]
    if int(node["feature_idx"]) not in known:
        means = [expected(nodes, child, row, known) for child in below]
        return float(np.average(means, weights=nodes["count"][below]))
    asked = row[node["feature_idx"]]
    left = node["missing_go_to_left"] if np.isnan(asked) else asked <= node["num_threshold"]
    return expected(nodes, below[0] if left else below[1], row, known)


def shapley(model: HistGradientBoostingClassifier, row: Frame) -> Floats:
    values = np.zeros(WIDTH)
    for (predictor,) in model._predictors:
        for feature in range(WIDTH):
            others = [other for other in range(WIDTH) if other != feature]
            for size in range(WIDTH):
                weight = factorial(size) * factorial(WIDTH - 1 - size) / factorial(WIDTH)
                for chosen in combinations(others, size):
                    known = set(chosen)
                    gain = expected(predictor.nodes, 0, row, known | {feature})
                    values[feature] += weight * (gain - expected(predictor.nodes, 0, row, known))
    return values


def test_they_are_those_of_the_definition(frame: Frame, model: HistGradientBoostingClassifier) -> None:
    rows = frame[:40]
    found = TreeShap(onnx_export.trees_of(model), WIDTH).values(rows)
    np.testing.assert_allclose(found, [shapley(model, row) for row in rows], rtol=0, atol=1e-12)


def test_they_add_up_to_the_log_odds(frame: Frame, model: HistGradientBoostingClassifier) -> None:
    total = TreeShap(onnx_export.trees_of(model), WIDTH).values(frame).sum(axis=1)
    gap = model.decision_function(frame) - onnx_export.mean_log_odds(model)
    np.testing.assert_allclose(total, gap, rtol=0, atol=1e-12)


def test_a_row_alone_is_the_same_row_among_others_bit_for_bit(
    frame: Frame, model: HistGradientBoostingClassifier
) -> None:
    shap = TreeShap(onnx_export.trees_of(model), WIDTH)
    together = shap.values(frame[:300])
    for index in range(0, 300, 7):
        np.testing.assert_array_equal(shap.values(frame[index : index + 1])[0], together[index])
    assert shap.values(frame[:0]).shape == (0, WIDTH)


def test_two_models_are_explained_by_the_sum(frame: Frame, model: HistGradientBoostingClassifier) -> None:
    parts = [onnx_export.trees_of(one) for one in (model, boosted(frame, learning_rate=0.5))]
    found = TreeShap(tree_shap.joined(*parts), WIDTH).values(frame[:50])
    wanted = sum(TreeShap(part, WIDTH).values(frame[:50]) for part in parts)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_trees_without_a_split_explain_nothing(frame: Frame) -> None:
    model = boosted(frame, min_samples_leaf=2_000)
    shap = TreeShap(onnx_export.trees_of(model), WIDTH)
    assert not shap.values(frame[:5]).any()


def test_a_path_of_too_many_features_is_refused() -> None:
    n = tree_shap.MOST_FEATURES + 1
    # Each node asks the next feature; its right child is a leaf.
    inner, leaves = np.arange(n), np.arange(n, 2 * n + 1)
    trees = Trees(
        roots=np.array([0]),
        feature=np.array([*inner, *[tree_shap.LEAF] * (n + 1)]),
        threshold=np.zeros(2 * n + 1),
        left=np.array([*inner[1:], leaves[-1], *leaves]),
        right=np.array([*leaves[:-1], *leaves]),
        missing_left=np.zeros(2 * n + 1, np.bool_),
        value=np.ones(2 * n + 1),
        cover=np.array([*range(n + 1, 1, -1), *[1] * (n + 1)]),
    )
    with pytest.raises(ValueError, match="13 features, the limit is 12"):
        TreeShap(trees, n)


def test_the_file_gives_the_same_trees(frame: Frame, model: HistGradientBoostingClassifier) -> None:
    other = boosted(frame, learning_rate=0.5)
    content = tree_shap.to_bytes(onnx_export.trees_of(model), onnx_export.trees_of(other))
    read = tree_shap.of_version({tree_shap.FILE: content}, WIDTH)
    assert read is not None
    for found, made_of in zip(read, (model, other), strict=True):
        direct = TreeShap(onnx_export.trees_of(made_of), WIDTH)
        np.testing.assert_array_equal(found.values(frame[:50]), direct.values(frame[:50]))
    assert tree_shap.of_version({"model.onnx": b""}, WIDTH) is None


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "pickle"])
def test_a_damaged_file_is_refused(model: HistGradientBoostingClassifier, damage: str) -> None:
    trees = onnx_export.trees_of(model)
    content = tree_shap.to_bytes(trees, trees)
    if damage == "pickle":  # never loaded
        buffer = io.BytesIO()
        objects: dict[str, Any] = {"with_history.roots": np.array([{}], object)}
        np.savez(buffer, **objects)
        content = buffer.getvalue()
    else:
        content = {"cut": content[: len(content) // 2], "empty": b"", "text": b"no trees"}[damage]
    with pytest.raises((ValueError, KeyError, OSError, EOFError)):
        tree_shap.of_version({tree_shap.FILE: content}, WIDTH)
