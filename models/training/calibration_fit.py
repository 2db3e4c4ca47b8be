"""Fit a calibration on rows that the model was not trained on. Offline only (scipy)."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.optimize import isotonic_regression, minimize

from models.calibration import Calibration, logit, sigmoid
from models.features.columns import Floats

MIN_FAILURES_PER_KNOT: Final = 20  # a knot's rate then has a standard error of about 22 %
MAX_KNOTS: Final = 16
PRIOR_FAILURES: Final = 5.0  # weight of the straight line against a knot's own rate
HELD_TO_1: Final = 10.0  # weight, in failures, of a slope of 1 against the data's
MIN_SLOPE: Final = (
    0.05  # keeps the line strictly rising, so that different scores get different probabilities
)
REACH: Final = 25.0  # log-odds by which the line extends beyond the outermost knots


def fit(
    raw: Floats, happened: Floats, weight: Floats | None = None, *, failures: float | None = None
) -> Calibration:
    """Fit a calibration on out-of-fold rows.

    `raw` [n] are log-odds, `happened` [n] is 0 or 1, `weight` [n] the number of rows that each represents.
    `failures` is the number of distinct failures in `happened` (default: one per row). Sixty readings before
    one failure are evidence of one failure.

    First a straight line is fitted (Platt scaling). With enough failures, knots then bend it to the observed
    rates.
    """
    weight = np.ones(len(raw)) if weight is None else weight
    positive = float((weight * happened).sum())
    if failures is not None and positive:
        weight = weight * (failures / positive)
    slope, offset = _fit_line(raw, happened, weight)
    order = np.argsort(raw, kind="stable")
    raw, happened, weight = raw[order], happened[order], weight[order]
    positives = np.cumsum(happened * weight)
    total = float(positives[-1]) if len(positives) else 0.0
    knots = int(min(MAX_KNOTS, total // MIN_FAILURES_PER_KNOT))
    if knots < 2:
        centre = float(np.average(raw, weights=weight)) if len(raw) else 0.0
        at = np.array([centre - REACH, centre + REACH])
        return Calibration(at, slope * at + offset)
    # Bins with equal shares of the failures, so that most knots are at high risk, which matters to operators.
    bin_of = np.minimum((positives - happened * weight) / total * knots, knots - 1).astype(np.int64)
    rows = np.bincount(bin_of, weight, knots)
    failed = np.bincount(bin_of, weight * happened, knots)
    expected = np.bincount(bin_of, weight * sigmoid(slope * raw + offset), knots) / np.maximum(rows, 1e-12)
    prior_rows = PRIOR_FAILURES / expected
    observed = (failed + PRIOR_FAILURES) / (rows + prior_rows)
    at = np.bincount(bin_of, weight * raw, knots) / np.maximum(rows, 1e-12)
    # A bin's rate corresponds to its mean probability, which differs from that of its mean log-odds.
    level = slope * at + offset + logit(observed) - logit(expected)
    level = isotonic_regression(level - MIN_SLOPE * at, weights=rows).x + MIN_SLOPE * at
    at = np.concatenate(([at[0] - REACH], at, [at[-1] + REACH]))
    level = np.concatenate(([level[0] - slope * REACH], level, [level[-1] + slope * REACH]))
    return Calibration(at, level)


def _fit_line(raw: Floats, happened: Floats, weight: Floats) -> tuple[float, float]:
    """Slope and offset by maximum likelihood, regularised to slope 1. The slope is at least `MIN_SLOPE`."""
    total = float(weight.sum())
    if not total:
        return 1.0, 0.0
    centre = float(np.average(raw, weights=weight))
    if not (happened * weight).any():
        rate = np.array(0.5 / (total + 1.0))
        return 1.0, float(logit(rate)) - centre
    apart = raw - centre

    def loss(line: Floats) -> tuple[float, Floats]:
        odds = line[0] * apart + line[1]
        value = (weight * (np.logaddexp(0.0, odds) - happened * odds)).sum()
        error = weight * (sigmoid(odds) - happened)
        slope = HELD_TO_1 * (line[0] - 1)
        return float(value + slope * (line[0] - 1) / 2), np.array(
            [(error * apart).sum() + slope, error.sum()]
        )

    found = minimize(loss, np.array([1.0, centre]), jac=True, method="BFGS").x
    slope = max(float(found[0]), MIN_SLOPE)
    return slope, float(found[1]) - slope * centre
