"""Figures of an evaluation against scikit-learn's, and which readings are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from models import registry
from models.evaluation.figures import Ranking, alerted, judge_window
from models.scorer import failure_model
from models.training.history import load
from tests.unit.models.samples import VERSIONS


def test_ranking_figures_are_scikit_learns_with_weights_and_ties() -> None:
    rng = np.random.default_rng(0)
    happened = rng.integers(0, 2, 400)
    score = np.round(np.clip(rng.random(400) * 0.7 + 0.2 * happened, 0, 1), 1)
    for weight in (np.ones(400), rng.integers(0, 4, 400).astype(np.float64)):
        found = Ranking(happened, score, {}).figures(weight)
        assert found["pr_auc"] == pytest.approx(
            average_precision_score(happened, score, sample_weight=weight)
        )
        assert found["roc_auc"] == pytest.approx(roc_auc_score(happened, score, sample_weight=weight))
        assert found["brier"] == pytest.approx(brier_score_loss(happened, score, sample_weight=weight))


def test_no_figures_without_a_failure() -> None:
    assert Ranking(np.zeros(5), np.linspace(0, 1, 5), {}).figures(np.ones(5)) == {}


def test_the_share_alerted_is_taken_each_day() -> None:
    charger, day = np.tile(np.arange(100), 2), np.repeat([0.0, 1.0], 100) * 86_400
    score = np.concatenate([np.linspace(0, 1, 100), np.linspace(1, 0, 100)])
    chosen = np.flatnonzero(alerted(charger, day, score, 0.02))
    assert chosen.tolist() == [98, 99, 100, 101]


def test_the_days_last_reading_is_judged_and_none_inside_a_failure(tmp_path: Path) -> None:
    """The last reading before a failure must not stand in for a day that ends inside it."""
    times = pd.date_range("2025-01-01", periods=240, freq="6h", tz="UTC") + pd.Timedelta(hours=1)
    pd.DataFrame({"charger_id": "A", "timestamp": times, "connector_status": "AVAILABLE"}).to_parquet(
        tmp_path / "readings.parquet"
    )
    failed = pd.DataFrame({"charger_id": ["A"], "timestamp": [pd.Timestamp("2025-02-10T10:00", tz="UTC")]})
    failed.to_parquet(tmp_path / "failures.parquet")
    version = registry.load(VERSIONS, "failure", registry.active_version(VERSIONS, "failure"))
    model = failure_model(version)
    judged = judge_window(model, load(tmp_path, spec=model.spec), times[0].timestamp(), times[-1].timestamp())
    hours = pd.to_datetime(judged.time_s, unit="s", utc=True)
    assert set(hours.hour) == {19}
    assert pd.Timestamp("2025-02-09T19:00", tz="UTC") in hours
    assert not (hours.date == pd.Timestamp("2025-02-10").date()).any()
    within_a_day = judged.truth[0] == 1
    assert hours[within_a_day].tolist() == [pd.Timestamp("2025-02-09T19:00", tz="UTC")]
