"""Calibrate a model's raw log-odds to probabilities.

A calibration is a rising, piecewise linear function of log-odds. Its breakpoints are in the manifest, and
`numpy.interp` applies it. It is outside the ONNX graph because converted calibrators were off by up to .014.
It is linear rather than isotonic, because a step gives all chargers on it the same probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.features.columns import Floats


def sigmoid(log_odds: Floats) -> Floats:
    """Probabilities of log-odds, elementwise. Log-odds are clipped to ±40."""
    result: Floats = 1.0 / (1.0 + np.exp(-log_odds.clip(-40, 40)))
    return result


def logit(probability: Floats) -> Floats:
    """Log-odds of probabilities, elementwise. Probabilities are clipped to 1e-9 from 0 and 1."""
    clipped = probability.clip(1e-9, 1 - 1e-9)
    result: Floats = np.log(clipped) - np.log1p(-clipped)
    return result


@dataclass(frozen=True, slots=True)
class Calibration:
    """Breakpoints (raw log-odds -> calibrated log-odds), both strictly rising."""

    raw: Floats
    calibrated: Floats

    def log_odds(self, raw: Floats) -> Floats:
        """Calibrated log-odds of raw log-odds, elementwise; constant outside the breakpoints."""
        result: Floats = np.interp(raw, self.raw, self.calibrated)
        return result

    def to_manifest(self) -> dict[str, list[float]]:
        """The breakpoints as JSON values."""
        return {"raw": self.raw.tolist(), "calibrated": self.calibrated.tolist()}

    @classmethod
    def from_manifest(cls, manifest: dict[str, Any]) -> Calibration:
        """The inverse of `to_manifest`."""
        return cls(np.array(manifest["raw"], np.float64), np.array(manifest["calibrated"], np.float64))
