"""The anomaly model: an isolation forest for rare readings, and physical rules for faulty ones.

The score (0-100) is calibrated on healthy readings that the forest has not seen. One healthy reading in 10
reaches 25, one in 100 reaches 50, one in 1,000 reaches 75, one in 10,000 reaches 100. An anomaly begins at
50, i.e. at 1 % false alarms. A violated rule gives at least 90. Pure functions.

The forest takes no missing values. They are replaced by the training medians of the manifest, so that a
missing value is never an anomaly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypedDict

import numpy as np

from models.actions import code_families
from models.features.columns import Floats
from models.features.frame import SENSOR_RANGE_C, TEMPERATURE, FeatureSpec, Frame
from readings.reading import Reading, rfc3339

if TYPE_CHECKING:
    from models.onnx_session import Session

FEATURES: Final = (
    "is_charging",
    "is_offline",
    "energy_kwh",
    "power_kw",
    "temperature_c",
    "codes",
    "temperature_above_usual",
    "power_now_ratio",
    "energy_mean_ratio",
    "near_zero_share_7d",
    "offline_share_7d",
    "faulty_share_7d",
    "codes_share_7d",
    "reboots_per_day_7d",
)
THRESHOLD: Final = 50.0
RULE_SCORE: Final = 90.0
MIN_Z: Final = 2.0
MAX_Z: Final = 99.0
TOP_DEVIATIONS: Final = 5

# Limits of the rules, which are checked in order of danger. DC connectors derate or stop above about 90 °C
# (IEC 61851, as cited by eeworldonline).
OVER_TEMPERATURE_C: Final = 90.0
IDLE_POWER_KW: Final = 1.0
CHARGING_POWER_KW: Final = 0.05
_NOT_CHARGING: Final = frozenset({"AVAILABLE", "UNAVAILABLE", "OFFLINE", "FAULTY"})

AnomalyType = Literal[
    "ELECTRICAL_FAULT",  # a ground-fault, over-current or voltage code
    "SENSOR_IMPLAUSIBLE",  # a temperature that no such sensor can measure, or that has not moved for a week
    "OVER_TEMPERATURE",  # 90 °C or more, or an over-temperature code
    "FAULT_STATE",  # the charger reports FAULTY
    "POWER_WITHOUT_SESSION",  # power flows without a charging session
    "NO_POWER_WHILE_CHARGING",
    "TEMPERATURE",  # the others: rare, named after the largest deviation
    "POWER",
    "ENERGY",
    "ERROR_CODES",
    "COMMUNICATION",
    "RESTARTS",
    "PATTERN",
]
_TYPE_OF: Final[dict[str, AnomalyType]] = {
    "temperature_c": "TEMPERATURE",
    "temperature_above_usual": "TEMPERATURE",
    "power_kw": "POWER",
    "power_now_ratio": "POWER",
    "energy_kwh": "ENERGY",
    "energy_mean_ratio": "ENERGY",
    "near_zero_share_7d": "ENERGY",
    "codes": "ERROR_CODES",
    "codes_share_7d": "ERROR_CODES",
    "faulty_share_7d": "ERROR_CODES",
    "offline_share_7d": "COMMUNICATION",
    "is_offline": "COMMUNICATION",
    "reboots_per_day_7d": "RESTARTS",
}


class AnomalyVerdict(TypedDict):
    """An anomaly verdict, as published in the HTTP API."""

    charger_id: str
    is_anomaly: bool
    anomaly_score: float
    anomaly_type: AnomalyType | None
    deviation: dict[str, float]
    model_version: str
    reading_timestamp: str


@dataclass(frozen=True)
class AnomalyModel:
    """One version. Immutable and thread-safe.

    `median` and `spread` [f] are those of healthy readings. `scale` holds breakpoints (raw, score).
    """

    version: str
    spec: FeatureSpec
    session: Session
    median: Floats
    spread: Floats
    scale: tuple[Floats, Floats]

    @cached_property
    def columns(self) -> list[int]:
        """Columns of `FEATURES` in the frame of `spec`."""
        return [self.spec.names.index(name) for name in FEATURES]

    def raw(self, frame: Frame) -> Floats:
        """The forest's scores [n]; higher means rarer. `frame` has the features of `spec`."""
        return -self.session.run(filled(frame[:, self.columns], self.median))[:, 0]

    def score(
        self, readings: Sequence[Reading], frame: Frame, raw: Floats | None = None
    ) -> list[AnomalyVerdict]:
        """One verdict per reading, in order. `raw` is the result of `raw(frame)`, if available."""
        scores = np.interp(self.raw(frame) if raw is None else raw, *self.scale).tolist()
        deviations = (frame[:, self.columns].astype(np.float64) - self.median) / self.spread
        size = np.abs(np.nan_to_num(deviations))
        top = np.argsort(-size, axis=1, kind="stable")[:, :TOP_DEVIATIONS]
        n_far = np.count_nonzero(size >= MIN_Z, axis=1).tolist()
        far = np.take_along_axis(deviations.clip(-MAX_Z, MAX_Z), top, axis=1).tolist()
        verdicts = []
        for row, (reading, columns) in enumerate(zip(readings, top.tolist(), strict=True)):
            names = [FEATURES[column] for column in columns[: n_far[row]]]
            far_from = dict(zip(names, far[row], strict=False))
            broken = rule(reading, is_stuck=math.isnan(frame[row, TEMPERATURE]))
            verdicts.append(self._verdict(reading, scores[row], far_from, broken))
        return verdicts

    def _verdict(
        self, reading: Reading, score: float, far: dict[str, float], broken: AnomalyType | None
    ) -> AnomalyVerdict:
        if broken:
            score = max(score, RULE_SCORE)
        is_anomaly = score >= THRESHOLD
        kind = broken or next((_TYPE_OF[name] for name in far if name in _TYPE_OF), "PATTERN")
        return {
            "charger_id": reading.charger_id,
            "is_anomaly": is_anomaly,
            "anomaly_score": round(score, 2),
            "anomaly_type": kind if is_anomaly else None,
            "deviation": {name: round(z, 2) for name, z in far.items()},
            "model_version": self.version,
            "reading_timestamp": rfc3339(reading.timestamp),
        }


def filled(frame: Frame, median: Floats) -> Frame:
    """The frame with missing values replaced by the training medians."""
    return np.where(np.isnan(frame), median.astype(np.float32), frame)


def rule(reading: Reading, *, is_stuck: bool = False) -> AnomalyType | None:
    """The most dangerous physical rule that the reading violates, or None.

    `is_stuck`: its temperature, if it has one, is taken for that of a stuck sensor.
    """
    families = code_families(reading)
    temperature, power = reading.temperature, reading.power
    if any(name in families for name in ("ground", "current", "voltage")):
        return "ELECTRICAL_FAULT"
    if temperature is not None and not SENSOR_RANGE_C[0] <= temperature <= SENSOR_RANGE_C[1]:
        return "SENSOR_IMPLAUSIBLE"
    if "thermal" in families or (temperature is not None and temperature >= OVER_TEMPERATURE_C):
        return "OVER_TEMPERATURE"
    if reading.in_failure:
        return "FAULT_STATE"
    if power is not None and power >= IDLE_POWER_KW and reading.connector_status in _NOT_CHARGING:
        return "POWER_WITHOUT_SESSION"
    if power is not None and power < CHARGING_POWER_KW and reading.connector_status == "CHARGING":
        return "NO_POWER_WHILE_CHARGING"
    if is_stuck and temperature is not None:
        return "SENSOR_IMPLAUSIBLE"
    return None
