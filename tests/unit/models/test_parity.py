"""scikit-learn and ONNX agree on every row, missing values and what each feature contributes included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
)

from models import registry
from models.calibration import logit
from models.features.columns import Floats
from models.features.frame import Frame
from models.onnx_session import Session
from models.scorer import failure_model
from models.training import onnx_export
from tests.unit.models.samples import VERSIONS

TOLD_BY = 5  # the feature that is missing where there is no history


@pytest.fixture(scope="module")
def frame() -> Frame:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(8_000, 12)).astype(np.float32)
    values[:, 3] = np.round(values[:, 3])  # many rows exactly on a threshold
    values[rng.random(values.shape) < 0.25] = np.nan
    values[:50] = np.nan
    return values


@pytest.fixture(scope="module")
def fitted(frame: Frame) -> list[HistGradientBoostingClassifier]:
    filled = np.nan_to_num(frame)
    models = []
    for shift in (0.0, 0.7, 1.5):
        happened = filled[:, 0] + filled[:, 3] * filled[:, 1] > shift
        model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=16, random_state=1)
        models.append(model.fit(frame, happened))
    for model in models:
        onnx_export.round_thresholds(model)
    return models


@pytest.fixture(scope="module")
def fitted_without(frame: Frame) -> list[HistGradientBoostingClassifier]:
    """Of other rows, another number of trees, other sizes: some trees have no counterpart."""
    models = []
    for size, column in ((70, 1), (60, 2), (45, 4)):
        happened = np.nan_to_num(frame[:, column]) > 0.3
        model = HistGradientBoostingClassifier(max_iter=size, max_leaf_nodes=7, random_state=2)
        models.append(model.fit(frame, happened))
    for model in models:
        onnx_export.round_thresholds(model)
    return models


@pytest.fixture(scope="module")
def served(
    fitted: list[HistGradientBoostingClassifier], fitted_without: list[HistGradientBoostingClassifier]
) -> Session:
    return Session(onnx_export.boosted_to_onnx(fitted, fitted_without, told_by=TOLD_BY), "raw")


def test_boosted_trees(
    frame: Frame,
    served: Session,
    fitted: list[HistGradientBoostingClassifier],
    fitted_without: list[HistGradientBoostingClassifier],
) -> None:
    raw = served.run(frame)
    known = ~np.isnan(frame[:, TOLD_BY])
    assert 1_000 < known.sum() < 7_000
    for rows, models in ((known, fitted), (~known, fitted_without)):
        for column, model in enumerate(models):
            assert np.abs(raw[rows, column] - model.decision_function(frame[rows])).max() <= 1e-5
            probability = 1 / (1 + np.exp(-raw[rows, column]))
            assert np.abs(probability - model.predict_proba(frame[rows])[:, 1]).max() <= 1e-5


def test_rounding_thresholds_changes_no_row(frame: Frame) -> None:
    happened = np.nan_to_num(frame[:, 3]) > 0
    model = HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(frame, happened)
    before = model.decision_function(frame)
    onnx_export.round_thresholds(model)
    assert (model.decision_function(frame) == before).all()


def test_isolation_forest(frame: Frame) -> None:
    filled = np.nan_to_num(frame)
    forest = IsolationForest(n_estimators=40, max_samples=128, random_state=0).fit(filled[:4_000])
    served = Session(onnx_export.forest_to_onnx(forest), "score_samples").run(filled)[:, 0]
    assert np.abs(served - forest.score_samples(filled)).max() <= 1e-5


def test_contributions_are_those_of_a_walk(
    frame: Frame,
    served: Session,
    fitted: list[HistGradientBoostingClassifier],
    fitted_without: list[HistGradientBoostingClassifier],
) -> None:
    rows = frame[:200]
    credit = served.run(rows)[:, 3:]
    for row, found in zip(rows, credit, strict=True):
        model = (fitted_without if np.isnan(row[TOLD_BY]) else fitted)[-1]
        np.testing.assert_allclose(found, walked(model, row), rtol=0, atol=1e-5)


def walked(model: HistGradientBoostingClassifier, row: Frame) -> Floats:
    """Down every tree, step by step: the change of the expected value to the feature asked."""
    credit = np.zeros(len(row))
    for (predictor,) in model._predictors:
        nodes = predictor.nodes

        def expected(index: int, nodes: Any = nodes) -> float:
            """The mean of the leaves below, by training rows."""
            node = nodes[index]
            if node["is_leaf"]:
                return float(node["value"])
            below = [int(node["left"]), int(node["right"])]
            return float(np.average([expected(child) for child in below], weights=nodes["count"][below]))

        at = 0
        while not nodes[at]["is_leaf"]:
            node = nodes[at]
            asked = row[node["feature_idx"]]
            left = node["missing_go_to_left"] if np.isnan(asked) else asked <= node["num_threshold"]
            child = int(node["left"] if left else node["right"])
            credit[node["feature_idx"]] += expected(child) - expected(at)
            at = child
    return credit


def test_contributions_add_up(
    frame: Frame,
    served: Session,
    fitted: list[HistGradientBoostingClassifier],
    fitted_without: list[HistGradientBoostingClassifier],
) -> None:
    raw = served.run(frame)
    known = ~np.isnan(frame[:, TOLD_BY])
    for rows, model in ((known, fitted[-1]), (~known, fitted_without[-1])):
        total = raw[rows, 3:].sum(axis=1) + onnx_export.mean_log_odds(model)
        assert np.abs(total - raw[rows, 2]).max() <= 1e-5
        assert onnx_export.mean_log_odds(model) == pytest.approx(
            model.decision_function(frame).mean(), abs=0.02
        )


def test_a_row_alone_is_the_same_row_among_others_bit_for_bit(frame: Frame, served: Session) -> None:
    together = served.run(frame[:1_000])
    for index in range(0, 1_000, 37):
        np.testing.assert_array_equal(served.run(frame[index : index + 1])[0], together[index])


def test_a_verdicts_reasons_add_up_to_its_risk() -> None:
    version = registry.load(VERSIONS, "failure", registry.active_version(VERSIONS, "failure"))
    model = failure_model(version)
    rng = np.random.default_rng(3)
    rows = rng.normal(20, 30, (400, len(model.spec.names))).astype(np.float32)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    rows[:200, model.spec.first_history :] = np.nan
    probability = model.probabilities(rows)[:, -1]
    credit, base = model.contributions(rows, model.raw(rows), probability)
    np.testing.assert_allclose(credit.sum(axis=1), logit(probability) - logit(base), atol=1e-9)
