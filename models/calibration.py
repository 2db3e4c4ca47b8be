"""From a model's raw log-odds to a probability that means what it says.

A calibration is a rising line through breakpoints in log-odds, kept in the manifest and applied by
`numpy.interp`: outside the ONNX graph because converted calibrators were off by up to .014, and a line
rather than isotonic steps because a step gives every charger on it the same probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.columns import Floats

MIN_POSITIVES_PER_KNOT: Final = 40  # a knot's rate is then known to about ±16 %
MAX_KNOTS: Final = 16
PRIOR_POSITIVES: Final = 5.0  # weight, in failures, of the straight line against a knot's own rate
MIN_SLOPE: Final = 0.05  # keeps the line rising, so that a worse reading never gets an equal probability
REACH: Final = 25.0  # log-odds by which the line goes on beyond the outermost knots


def sigmoid(log_odds: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-log_odds.clip(-40, 40)))
    return result


def logit(probability: Floats) -> Floats:
    clipped = probability.clip(1e-9, 1 - 1e-9)
    result: Floats = np.log(clipped) - np.log1p(-clipped)
    return result


@dataclass(frozen=True, slots=True)
class Calibration:
    """Breakpoints (raw log-odds -> calibrated log-odds), both strictly rising."""

    raw: Floats
    calibrated: Floats

    def log_odds(self, raw: Floats) -> Floats:
        result: Floats = np.interp(raw, self.raw, self.calibrated)
        return result

    def to_manifest(self) -> dict[str, list[float]]:
        return {"raw": self.raw.tolist(), "calibrated": self.calibrated.tolist()}

    @classmethod
    def from_manifest(cls, manifest: dict[str, Any]) -> Calibration:
        return cls(np.array(manifest["raw"], np.float64), np.array(manifest["calibrated"], np.float64))


def fit(raw: Floats, happened: Floats, weight: Floats | None = None) -> Calibration:
    """Fit on rows that the model was not trained on.

    `raw` log-odds [n], `happened` 0 or 1 [n], `weight` [n] how many rows each stands for. A straight line
    (Platt) first; where there are enough failures, knots then bend it to the observed rates.
    """
    weight = np.ones(len(raw)) if weight is None else weight
    slope, offset = _line(raw, happened, weight)
    order = np.argsort(raw, kind="stable")
    raw, happened, weight = raw[order], happened[order], weight[order]
    positives = np.cumsum(happened * weight)
    total = float(positives[-1]) if len(positives) else 0.0
    knots = int(min(MAX_KNOTS, total // MIN_POSITIVES_PER_KNOT))
    if knots < 2:
        centre = float(np.average(raw, weights=weight)) if len(raw) else 0.0
        at = np.array([centre - REACH, centre + REACH])
        return Calibration(at, slope * at + offset)
    # Equal shares of the failures, so that the risky end, where an operator looks, gets most knots.
    bin_of = np.minimum((positives - happened * weight) / total * knots, knots - 1).astype(np.int64)
    rows = np.bincount(bin_of, weight, knots)
    failures = np.bincount(bin_of, weight * happened, knots)
    expected = np.bincount(bin_of, weight * sigmoid(slope * raw + offset), knots) / np.maximum(rows, 1e-12)
    prior_rows = PRIOR_POSITIVES / expected
    observed = (failures + PRIOR_POSITIVES) / (rows + prior_rows)
    at = np.bincount(bin_of, weight * raw, knots) / np.maximum(rows, 1e-12)
    # A bin's rate belongs to its expected probability, which is not that of its mean log-odds.
    level = slope * at + offset + logit(observed) - logit(expected)
    level = _rising(level - MIN_SLOPE * at, rows.astype(np.float64)) + MIN_SLOPE * at
    at = np.concatenate(([at[0] - REACH], at, [at[-1] + REACH]))
    level = np.concatenate(([level[0] - slope * REACH], level, [level[-1] + slope * REACH]))
    return Calibration(at, level)


def _line(raw: Floats, happened: Floats, weight: Floats) -> tuple[float, float]:
    """Slope and offset by Newton's method, lightly held to slope 1; the slope is at least `MIN_SLOPE`."""
    total = float(weight.sum())
    if not total:
        return 1.0, 0.0
    rate = (float((happened * weight).sum()) + 0.5) / (total + 1.0)
    if float((happened * weight).sum()) < 1:
        return 1.0, float(logit(np.array(rate)) - np.average(raw, weights=weight))
    slope, offset, held = 1.0, 0.0, 1.0
    for _ in range(50):
        p = sigmoid(slope * raw + offset)
        spread = weight * p * (1 - p)
        gradient = np.array(
            [(weight * (p - happened) * raw).sum() + held * (slope - 1), (weight * (p - happened)).sum()]
        )
        cross = (spread * raw).sum()
        hessian = np.array([[(spread * raw * raw).sum() + held, cross], [cross, spread.sum() + 1e-9]])
        change = np.clip(np.linalg.solve(hessian, gradient), -2, 2)
        slope, offset = slope - float(change[0]), offset - float(change[1])
        if np.abs(change).max() < 1e-9:
            break
    return max(slope, MIN_SLOPE), offset


def _rising(values: Floats, weight: Floats) -> Floats:
    """The nearest non-falling sequence (pool adjacent violators)."""
    means: list[float] = []
    weights: list[float] = []
    lengths: list[int] = []
    for value, share in zip(values.tolist(), weight.tolist(), strict=True):
        means.append(value)
        weights.append(share)
        lengths.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            joined = weights[-2] + weights[-1]
            means[-2:] = [(means[-2] * weights[-2] + means[-1] * weights[-1]) / joined]
            weights[-2:] = [joined]
            lengths[-2:] = [lengths[-2] + lengths[-1]]
    return np.repeat(means, lengths)
