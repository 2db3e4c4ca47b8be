"""scikit-learn, ONNX and the trees behind the reasons agree on every row, missing values included."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
)

from models import export, registry
from models.calibration import logit
from models.features import Frame
from models.onnx_session import Session
from models.scorer import failure_model
from tests.unit.models.conftest import VERSIONS


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
        export.round_thresholds(model)
    return models


def test_boosted_trees(frame: Frame, fitted: list[HistGradientBoostingClassifier]) -> None:
    served = Session(export.boosted_to_onnx(fitted), "raw").run(frame)
    for column, model in enumerate(fitted):
        assert np.abs(served[:, column] - model.decision_function(frame)).max() <= 1e-5
        probability = 1 / (1 + np.exp(-served[:, column]))
        assert np.abs(probability - model.predict_proba(frame)[:, 1]).max() <= 1e-5


def test_rounding_thresholds_changes_no_row(frame: Frame) -> None:
    happened = np.nan_to_num(frame[:, 3]) > 0
    model = HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(frame, happened)
    before = model.decision_function(frame)
    export.round_thresholds(model)
    assert (model.decision_function(frame) == before).all()


def test_isolation_forest(frame: Frame) -> None:
    filled = np.nan_to_num(frame)
    forest = IsolationForest(n_estimators=40, max_samples=128, random_state=0).fit(filled[:4_000])
    served = Session(export.forest_to_onnx(forest), "score_samples").run(filled)[:, 0]
    assert np.abs(served - forest.score_samples(filled)).max() <= 1e-5


def test_contributions_add_up(frame: Frame, fitted: list[HistGradientBoostingClassifier]) -> None:
    trees = export.boosted_to_trees(fitted[1])
    trees = type(trees).from_bytes(trees.to_bytes())
    total = trees.contributions(frame).sum(axis=1) + trees.mean()
    assert np.abs(total - fitted[1].decision_function(frame)).max() <= 1e-9
    assert trees.mean() == pytest.approx(fitted[1].decision_function(frame).mean(), abs=0.02)


def test_a_verdicts_reasons_add_up_to_its_risk() -> None:
    version = registry.load(VERSIONS, "failure", registry.active_version(VERSIONS, "failure"))
    model = failure_model(version)
    rng = np.random.default_rng(3)
    rows = rng.normal(20, 30, (400, len(model.spec.names))).astype(np.float32)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    rows[:200, model.spec.first_past :] = np.nan
    probability = model.probabilities(rows)[:, -1]
    credit, base = model.contributions(rows, probability)
    np.testing.assert_allclose(credit.sum(axis=1), logit(probability) - logit(base), atol=1e-9)
