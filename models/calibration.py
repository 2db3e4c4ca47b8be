"""From a model's raw log-odds to a probability that means what it says.

A calibration is a rising line through breakpoints in log-odds, kept in the manifest and applied by
`numpy.interp`: outside the ONNX graph because converted calibrators were off by up to .014, and a line
rather than isotonic steps because a step gives every charger on it the same probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.features.columns import Floats


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
