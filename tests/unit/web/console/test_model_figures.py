"""Figures of a model as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from web.console.model_figures import confidence_plot, drift_bars, figures_of, shadow_bars

WEEK: dict[str, Any] = {"prevalence": 0.02, "pr_auc": 0.2, "roc_auc": 0.8, "brier": 0.018, "ece": 0.001}


def test_figures_stand_beside_chance() -> None:
    found = figures_of({"metrics": {"7d": WEEK}})
    assert found is not None
    assert found.columns == ["7 days"]
    values = {row.name: row.values for row in found.rows}
    assert values["PR-AUC"] == ["0.200, 10.0 times chance"]
    assert values["Brier score"] == ["0.0180 beside 0.0196"]
    assert values["Riskiest tenth"] == ["–"]


def test_a_horizon_that_was_not_observed_has_its_reason() -> None:
    found = figures_of({"metrics": {"1d": {"reason": "too few failures"}, "7d": WEEK}})
    assert found is not None
    assert found.problems == ["1 day: too few failures"]
    assert [row.values[0] for row in found.rows] == ["–"] * len(found.rows)


@pytest.mark.parametrize(
    "manifest",
    [{}, {"metrics": None}, {"metrics": {"7d": {"pr_auc": "x", "prevalence": 0.1}}}],
)
def test_figures_that_cannot_be_read_are_none(manifest: dict[str, Any]) -> None:
    assert figures_of(manifest) is None


@pytest.mark.parametrize("stated", [None, {}, {"probability": [0.1]}, {"probability": [0.1], "right": []}])
def test_a_confidence_that_cannot_be_read_has_no_plot(stated: Any) -> None:
    assert confidence_plot({"confidence": stated}) is None


def test_bins_have_their_ranges_and_the_missing_values_last() -> None:
    bars = drift_bars({"edges": [1.0, 2.5], "shares_training": [0.1, 0.2, 0.3, 0.4], "shares_now": None})
    assert [bar.label for bar in bars] == ["up to 1", "1 to 2.5", "above 2.5", "missing"]
    assert [bar.now for bar in bars] == [0.0] * 4
    assert [
        bar.label for bar in drift_bars({"edges": [], "shares_training": [1, 0], "shares_now": [1, 0]})
    ] == [
        "any value",
        "missing",
    ]


def test_a_shadow_is_beside_the_active_version_by_band() -> None:
    bars = shadow_bars({"bands": [0.5], "table": [[2, 1], [0, 1]]})
    assert [(bar.before, bar.now) for bar in bars] == [(0.75, 0.5), (0.25, 0.5)]
    assert shadow_bars({"bands": [0.5], "table": [[0, 0], [0, 0]]}) == []
