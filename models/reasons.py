"""Turn a row's contributions into reasons that a technician can read."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypedDict

import numpy as np

from models.feature_labels import label_and_unit, texts_by_value, unknown_text
from models.features.columns import Floats, Ints
from models.features.frame import FeatureSpec, Frame

# A contribution to the log-odds below this is not shown.
MIN_WEIGHT: Final = 0.01


class Factor(TypedDict):
    """A contributing factor, as published in the HTTP API."""

    factor: str
    feature: str
    value: float | None
    unit: str
    text: str
    direction: Literal["increases", "decreases"]
    weight: float


class _Wording(NamedTuple):
    """Words for one feature: for its values, for some values alone, and for a missing value."""

    name: str
    label: str
    unit: str
    of_unit: str
    by_value: dict[float, str]
    unknown: str


class Reasons:
    """Labels and units of one version's features, looked up once."""

    def __init__(self, spec: FeatureSpec) -> None:
        worded = [(name, *label_and_unit(name)) for name in spec.names]
        self._wording = [
            _Wording(
                name,
                label,
                unit,
                of_unit=f" {unit}" if unit else "",
                by_value=texts_by_value(name),
                unknown=unknown_text(name),
            )
            for name, label, unit in worded
        ]
        # The frame contains shares; reasons contain percentages.
        self._scale = np.array([100.0 if unit == "%" else 1.0 for _, _, unit in worded])
        self._usual = [spec.names.index(f"temperature_{name}_30d") for name in ("mean", "std")]

    def factors(self, frame: Frame, top: Ints, weight: Floats) -> list[list[Factor]]:
        """The factors of each row of `frame`, largest contribution first.

        `top` and `weight` [n, factors] are columns and contributions. Those below `MIN_WEIGHT` are left out.
        """
        numbers = four_digits(frame[np.arange(len(frame))[:, None], top] * self._scale[top])
        n_worth = np.count_nonzero(np.abs(weight) >= MIN_WEIGHT, axis=1)
        # Plain lists and one loop: reading single array elements would double the time, and a call per factor
        # would add a tenth.
        rows = zip(
            top.tolist(),
            numbers.tolist(),
            weight.round(4).tolist(),
            n_worth.tolist(),
            frame[:, self._usual].tolist(),
            strict=True,
        )
        wording = self._wording
        named: list[list[Factor]] = []
        for columns, values, weights, worth, usual in rows:
            factors: list[Factor] = []
            for column, value, share in zip(columns[:worth], values, weights, strict=False):
                name, label, unit, of_unit, by_value, unknown = wording[column]
                number: float | None = value
                if value != value:  # NaN
                    number, text = None, unknown
                elif value in by_value:
                    text = by_value[value]
                else:
                    text = f"{label}: {value:g}{of_unit}"
                    if name == "temperature_c":
                        text += _usually(*usual)
                factors.append(
                    {
                        "factor": label,
                        "feature": name,
                        "value": number,
                        "unit": unit,
                        "text": text,
                        "direction": "increases" if share > 0 else "decreases",
                        "weight": share,
                    }
                )
            named.append(factors)
        return named


def _usually(mean: float, spread: float) -> str:
    """The usual temperature range of this charger, or an empty text without history."""
    if mean != mean or spread != spread:  # NaN
        return ""
    return f", usually {mean - spread:.0f} to {mean + spread:.0f} °C for this charger"


def four_digits(values: Floats) -> Floats:
    """Values rounded to four significant digits. NaN stays NaN."""
    with np.errstate(divide="ignore"):
        place = np.where(values == 0, 0.0, 3 - np.floor(np.log10(np.abs(values))))
    # An integer divided by a power of ten is exactly the float of the decimal: 2873 / 100 is 28.73.
    up, down = 10.0 ** np.maximum(place, 0), 10.0 ** np.maximum(-place, 0)
    rounded: Floats = np.rint(values * up / down) * down / up
    return rounded
