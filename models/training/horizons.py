"""Which horizons a history can be trained for, and the extrapolation to the others. Offline only.

A fleet's first version is trained on days or weeks. A horizon longer than the observation of all readings
cannot be learned. It is extrapolated from the longest learned horizon at a constant hazard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from errors import ServiceError
from models.calibration import Calibration, logit, sigmoid
from models.failure import MAX_P, MIN_P, Horizon
from models.features.columns import Floats
from models.horizon_days import HORIZON_DAYS, HORIZON_NAMES
from models.training.history import History
from models.training.labels import DAY_S, Labels, days_to_failure

MIN_FAILURES: Final = 10  # a ranking learned from fewer is random
MIN_HEALTHY: Final = 200  # readings known not to be followed by a failure
# Required length of a history, by horizon. Readings of 7 days teach as far as their future is known, and two
# days of them are enough to calibrate on. 30 days are calibrated on readings a month old: the base rate has
# changed since, if there are no newer ones (docs/adr/0023).
NEEDED_DAYS: Final = (2.0, 9.0, 60.0)
KNOTS: Final = 129  # of an extrapolated calibration; its log-odds are then off by .005 at most


class TooLittleHistory(ServiceError):
    """Raised if a history is too short even for the shortest horizon. The message states what is missing."""

    code = "too_little_history"


@dataclass(frozen=True, slots=True)
class Learnable:
    """The first `count` horizons can be learned; `reasons` explain why each of the others cannot."""

    count: int
    reasons: tuple[str, ...]

    @property
    def longest(self) -> str:
        """The name of the longest learnable horizon, from which the others are extrapolated."""
        return HORIZON_NAMES[self.count - 1]


def learnable(history: History, truth: tuple[Labels, ...]) -> Learnable:
    """The horizons that `truth` (labels by horizon) suffices for. Raises `TooLittleHistory` for none."""
    span = span_days(history)
    count = len(truth)
    reasons: list[str] = []
    for column, label in enumerate(truth):
        failures, healthy = _evidence(history, label)
        enough = span >= NEEDED_DAYS[column] and failures >= MIN_FAILURES and healthy >= MIN_HEALTHY
        if enough and not reasons:
            continue
        count = min(count, column)
        reasons.append(f"{_needed(column)}; there are {span:.1f}, {failures} and {healthy}")
        if not column:
            raise too_little(history, reasons[0])
    return Learnable(count, tuple(reasons))


def _needed(column: int) -> str:
    name, days = HORIZON_NAMES[column], NEEDED_DAYS[column]
    return (
        f"{name} needs {days:g} days of readings, {MIN_FAILURES} failures with a reading within "
        f"{name} before and {MIN_HEALTHY} readings with none within {name} after"
    )


def too_little(history: History | None, reason: str | None = None) -> TooLittleHistory:
    """The error for a history that is too short, in one line. `history` is None without any reading."""
    readings, span, failures = 0, 0.0, 0
    if history is not None:
        readings, span, failures = len(history.columns), span_days(history), len(history.failures.charger)
    return TooLittleHistory(
        f"{readings} readings over {span:.1f} days with {failures} failures are too few to learn from: "
        f"{reason or _needed(0)}"
    )


def span_days(history: History) -> float:
    """Days from the first reading to the last."""
    return (history.end_s - float(history.columns.time_s.min())) / DAY_S


def _evidence(history: History, label: Labels) -> tuple[int, int]:
    """Number of distinct failures after readings, and number of readings without a failure."""
    ahead = np.flatnonzero(label == 1)
    onset_s = np.round(history.columns.time_s[ahead] + days_to_failure(history)[ahead] * DAY_S)
    failures = np.unique(np.column_stack([history.columns.charger[ahead], onset_s]), axis=0)
    return len(failures), int((label == 0).sum())


def carried(manifest: dict[str, Any]) -> dict[str, str]:
    """The extrapolated horizons of a version, each with the reason. Empty for most versions."""
    return {
        name: str(manifest["metrics"][name]["reason"])
        for name, about in manifest.get("horizons", {}).items()
        if about.get("carried_from")
    }


def carried_on(
    learnt: Sequence[Horizon], base_rates: Sequence[float]
) -> tuple[tuple[Horizon, ...], tuple[float, ...]]:
    """Calibrations and base rates of all horizons, extrapolated from the last learned one if needed."""
    last, rate = learnt[-1], base_rates[-1]
    horizons, rates = list(learnt), list(base_rates)
    for days in HORIZON_DAYS[len(learnt) :]:
        carried_rate = float(carried_probability(np.array(rate), last.days, days))
        # The share of FAULTY readings that are still or again in failure is kept.
        shift = last.faulty_shift + float(logit(np.array(rate)) - logit(np.array(carried_rate)))
        horizons.append(
            Horizon(
                days,
                carried_calibration(last.with_history, last.days, days),
                carried_calibration(last.without_history, last.days, days),
                shift,
            )
        )
        rates.append(carried_rate)
    return tuple(horizons), tuple(rates)


def carried_probability(probability: Floats, days: float, to_days: float) -> Floats:
    """The probability within `to_days` at the constant hazard of `probability` within `days`.

    1 - (1 - p) ** (to_days / days), elementwise.
    """
    result: Floats = -np.expm1(np.log1p(-probability) * (to_days / days))
    return result


def carried_calibration(source: Calibration, days: float, to_days: float) -> Calibration:
    """A calibration from raw log-odds of a horizon of `days` to calibrated log-odds within `to_days`.

    The hazard is constant wherever neither probability is clipped. Piecewise linear, as `source`.
    """
    # Beyond these bounds one of the two probabilities is clipped.
    highest = carried_probability(np.array(MAX_P), to_days, days)
    low, high = float(logit(np.array(MIN_P))), float(logit(highest))
    low, high = np.clip([low, high], source.calibrated[0], source.calibrated[-1])
    level = np.union1d(np.linspace(low, high, KNOTS), source.calibrated.clip(low, high))
    raw = np.interp(level, source.calibrated, source.raw)
    return Calibration(raw, logit(carried_probability(sigmoid(level), days, to_days)))
