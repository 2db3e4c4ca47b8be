"""A row's contributions as reasons that a technician can read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from models.features import FeatureSpec
from models.words import shown, words

# A share of the log-odds below which a factor is noise to a reader.
MIN_WEIGHT: Final = 0.01


class Factor(TypedDict):
    factor: str
    feature: str
    value: float | None
    unit: str
    text: str
    direction: Literal["increases", "decreases"]
    weight: float


class Reasons:
    """Wording of one version's features: name, label and unit of each column, looked up once."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._wording = [(name, *words(name)) for name in spec.names]
        self._usual = [spec.names.index(f"temperature_{name}_30d") for name in ("mean", "std")]

    def factors(
        self, top: Iterable[tuple[int, float, float]], features: npt.NDArray[np.float32]
    ) -> list[Factor]:
        """The factors worth naming of one row.

        `top` are columns with value and weight, heaviest first; `features` is the row.
        """
        return [
            self._factor(column, value, weight, features)
            for column, value, weight in top
            if abs(weight) >= MIN_WEIGHT
        ]

    def _factor(self, column: int, value: float, weight: float, features: npt.NDArray[np.float32]) -> Factor:
        name, label, unit = self._wording[column]
        number = shown(value, unit)
        if number is None:
            text = f"{label} not known"
        else:
            text = f"{label} {number:g} {unit}" if unit else f"{label} {number:g}"
            if name == "temperature_c":
                text += self._usually(features)
        return {
            "factor": label,
            "feature": name,
            "value": number,
            "unit": unit,
            "text": text,
            "direction": "increases" if weight > 0 else "decreases",
            "weight": round(weight, 4),
        }

    def _usually(self, features: npt.NDArray[np.float32]) -> str:
        """What is usual for this very charger, where its history tells."""
        mean, spread = features[self._usual].tolist()
        if np.isnan(mean) or np.isnan(spread):
            return ""
        return f", usually {mean - spread:.0f} to {mean + spread:.0f} °C for this charger"
