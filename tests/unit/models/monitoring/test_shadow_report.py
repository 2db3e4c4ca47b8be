"""Two versions' scores of the same readings, in sums."""

from __future__ import annotations

import numpy as np
import pytest

from models.monitoring import shadow_report


def test_what_the_sums_say() -> None:
    active = np.array([0.1, 0.2, 0.8, 0.9])
    shadow = active + np.array([0.0, 0.0, -0.2, 0.05])
    found = shadow_report.report(shadow_report.count(active, shadow, threshold=0.7))
    assert (found["readings"], found["failed"], found["dropped"]) == (4, 0, 0)
    assert (found["mean_active"], found["mean_shadow"]) == (0.5, 0.4625)
    assert found["mean_absolute_difference"] == 0.0625
    assert (found["alerts_active"], found["alerts_shadow"], found["alerts_both"]) == (2, 1, 1)
    assert found["alert_agreement"] == 0.5
    assert found["rank_correlation"] == 1.0
    assert np.sum(found["table"]) == 4


def test_the_share_that_was_scored_is_of_all_readings_seen() -> None:
    counts = shadow_report.count(np.full(116, 0.1), np.full(116, 0.2), threshold=0.7)
    counts[shadow_report.FIELDS.index("dropped")] = 2_280
    counts[shadow_report.FIELDS.index("failed")] = 4
    assert shadow_report.report(counts)["scored_share"] == 0.0483
    nothing = np.zeros(shadow_report.LENGTH, np.int64)
    assert shadow_report.report(nothing)["scored_share"] is None


def test_counts_of_parts_add_up() -> None:
    active, shadow = np.random.default_rng(0).random((2, 1_000))
    whole = shadow_report.count(active, shadow, threshold=0.5)
    parts = [shadow_report.count(active[k::7], shadow[k::7], threshold=0.5) for k in range(7)]
    np.testing.assert_array_equal(np.sum(parts, axis=0), whole)


def test_the_rank_correlation_of_bands_is_near_that_of_the_scores() -> None:
    rng = np.random.default_rng(1)
    log_odds = rng.normal(-2.5, 1.2, 20_000)
    active, shadow = (1 / (1 + np.exp(-log_odds - rng.normal(0, 0.6, 20_000))) for _ in range(2))
    ranks = [np.argsort(np.argsort(scores)) for scores in (active, shadow)]
    true = float(np.corrcoef(ranks[0], ranks[1])[0, 1])
    found = shadow_report.report(shadow_report.count(active, shadow, threshold=0.7))["rank_correlation"]
    assert found == pytest.approx(true, abs=0.01)
    assert shadow_report.report(shadow_report.count(active, active, threshold=0.7))["rank_correlation"] == 1.0
    assert (
        shadow_report.report(shadow_report.count(active, 1 - active, threshold=0.7))["rank_correlation"]
        < -0.8
    )


def test_what_cannot_be_said_is_not() -> None:
    nothing = shadow_report.report(np.zeros(shadow_report.LENGTH, np.int64))
    assert nothing["readings"] == 0
    assert {nothing[name] for name in ("mean_active", "rank_correlation", "alert_agreement")} == {None}
    constant = shadow_report.count(np.array([0.1, 0.9]), np.array([0.5, 0.5]), threshold=0.7)
    assert shadow_report.report(constant)["rank_correlation"] is None
    with pytest.raises(ValueError, match="not of the same readings"):
        shadow_report.count(np.zeros(2), np.zeros(3), threshold=0.5)
