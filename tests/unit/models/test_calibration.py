"""A calibrated probability is the observed share, and a worse score never gets a lower one."""

from __future__ import annotations

import numpy as np
import pytest

from models import calibration
from models.features.columns import Floats
from models.training import calibration_fit
from models.training.quality import calibration_error


def drawn(n: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(-3, 1.2, n)
    happened = (rng.random(n) < calibration.sigmoid(truth)).astype(np.float64)
    return np.where(truth > -2, 2 * truth + 2, truth) + 1.0, happened  # too sure of itself at the top


def test_a_bent_score_becomes_true() -> None:
    raw, happened = drawn(60_000, 1)
    fitted = calibration_fit.fit(raw, happened)
    other, what_happened = drawn(60_000, 2)
    probability = calibration.sigmoid(fitted.log_odds(other))
    assert calibration_error(what_happened, probability, np.ones(len(other))) < 0.005
    top = probability >= np.quantile(probability, 0.9)
    assert what_happened[top].mean() / probability[top].mean() == pytest.approx(1, abs=0.06)


def test_it_rises_everywhere() -> None:
    raw, happened = drawn(5_000, 3)
    fitted = calibration_fit.fit(raw, happened)
    assert (np.diff(fitted.log_odds(np.linspace(-20, 20, 1_001))) > 0).all()


@pytest.mark.parametrize("positives", [0, 1, 5])
def test_few_failures_give_a_line_and_no_crash(positives: int) -> None:
    raw = np.linspace(-6, 0, 500)
    happened = np.zeros(500)
    happened[500 - positives :] = 1
    fitted = calibration_fit.fit(raw, happened)
    assert len(fitted.raw) == 2
    assert (np.diff(fitted.calibrated) > 0).all()


def test_weights_stand_for_rows() -> None:
    raw, happened = drawn(2_000, 4)
    weight = np.where(happened == 1, 1.0, 3.0)
    index = np.repeat(np.arange(2_000), weight.astype(int))
    weighted = calibration_fit.fit(raw, happened, weight)
    repeated = calibration_fit.fit(raw[index], happened[index])
    at = np.linspace(-5, 2, 20)
    np.testing.assert_allclose(weighted.log_odds(at), repeated.log_odds(at), atol=0.05)


def test_knots_that_would_fall_are_pooled() -> None:
    rng = np.random.default_rng(5)
    raw = rng.uniform(-4, 0, 40_000)
    true_log_odds = np.where((raw > -3) & (raw < -1), -4 - raw, raw)  # falls in the middle
    happened = (rng.random(len(raw)) < calibration.sigmoid(true_log_odds)).astype(np.float64)
    fitted = calibration_fit.fit(raw, happened)
    slopes = np.diff(fitted.calibrated) / np.diff(fitted.raw)
    assert slopes.min() == pytest.approx(calibration_fit.MIN_SLOPE)
    pooled = (raw > -2.5) & (raw < -1.5)
    stated = calibration.sigmoid(fitted.log_odds(raw[pooled]))
    assert stated.mean() == pytest.approx(happened[pooled].mean(), rel=0.1)
