"""Which horizons a history can teach, and how the longest of them stands in for the others. Offline only.

A fleet's first version is trained on days or weeks. A horizon that no reading has been followed for cannot be
learnt: the hazard of the longest horizon that was learnt is then carried on, as if it stayed the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from errors import ServiceError
from models.calibration import Calibration, logit, sigmoid
from models.failure import HORIZON_DAYS, HORIZON_NAMES, MAX_P, MIN_P, Horizon
from models.features.columns import Floats
from models.training.history import History
from models.training.labels import DAY_S, Labels, days_to_failure

MIN_FAILURES: Final = 10  # what ranks chargers by fewer is chance
MIN_HEALTHY: Final = 200  # readings known not to be followed by a failure
# Readings are then known to the horizon's end for as long as the horizon itself.
SPANS: Final = 2.0
KNOTS: Final = 129  # of a carried calibration: its log-odds are then off by .005 at most


class TooLittleHistory(ServiceError):
    """Raised for a history from which not even the shortest horizon can be learnt: says what is missing."""

    code = "too_little_history"


@dataclass(frozen=True, slots=True)
class Learnable:
    """The first `count` horizons can be learnt; `reasons` say why each of the others cannot."""

    count: int
    reasons: tuple[str, ...]

    @property
    def longest(self) -> str:
        """The name of the horizon that the others are carried from."""
        return HORIZON_NAMES[self.count - 1]


def learnable(history: History, truth: tuple[Labels, ...]) -> Learnable:
    """Which horizons `truth` (labels by horizon) can teach. Raises `TooLittleHistory` if there is none."""
    span = span_days(history)
    count = len(truth)
    reasons: list[str] = []
    for column, label in enumerate(truth):
        failures, healthy = _evidence(history, label)
        enough = span >= SPANS * HORIZON_DAYS[column] and failures >= MIN_FAILURES and healthy >= MIN_HEALTHY
        if enough and not reasons:
            continue
        count = min(count, column)
        reasons.append(f"{_needed(column)}; there are {span:.1f}, {failures} and {healthy}")
        if not column:
            raise too_little(history, reasons[0])
    return Learnable(count, tuple(reasons))


def _needed(column: int) -> str:
    days, name = HORIZON_DAYS[column], HORIZON_NAMES[column]
    return (
        f"{name} needs {SPANS * days:g} days of readings, {MIN_FAILURES} failures with a reading within "
        f"{name} before and {MIN_HEALTHY} readings with none within {name} after"
    )


def too_little(history: History | None, reason: str | None = None) -> TooLittleHistory:
    """The error for a history that teaches nothing, in one line. `history` is None if it has no reading."""
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
    """How many different failures readings of known future came before, and readings that none followed."""
    ahead = np.flatnonzero(label == 1)
    onset_s = np.round(history.columns.time_s[ahead] + days_to_failure(history)[ahead] * DAY_S)
    failures = np.unique(np.column_stack([history.columns.charger[ahead], onset_s]), axis=0)
    return len(failures), int((label == 0).sum())


def carried(manifest: dict[str, Any]) -> dict[str, str]:
    """The horizons of a version that were not learnt, each with the reason. Empty for most versions."""
    return {
        name: str(manifest["metrics"][name]["reason"])
        for name, about in manifest.get("horizons", {}).items()
        if about.get("carried_from")
    }


def carried_on(
    learnt: Sequence[Horizon], base_rates: Sequence[float]
) -> tuple[tuple[Horizon, ...], tuple[float, ...]]:
    """The calibrations and base rates of all horizons, those that were not learnt from the last that was."""
    last, rate = learnt[-1], base_rates[-1]
    horizons, rates = list(learnt), list(base_rates)
    for days in HORIZON_DAYS[len(learnt) :]:
        carried_rate = float(carried_probability(np.array(rate), last.days, days))
        # The share of FAULTY readings that are still or again in failure stays what it was.
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
    """The probability within `to_days` at the constant hazard of `probability` within `days`."""
    result: Floats = -np.expm1(np.log1p(-probability) * (to_days / days))
    return result


def carried_calibration(source: Calibration, days: float, to_days: float) -> Calibration:
    """From the raw log-odds of a horizon of `days` to calibrated log-odds within `to_days`.

    The hazard stays constant wherever neither probability is clipped. Piecewise linear, as `source` is.
    """
    # Beyond these, the one probability or the other is clipped.
    highest = carried_probability(np.array(MAX_P), to_days, days)
    low, high = float(logit(np.array(MIN_P))), float(logit(highest))
    low, high = np.clip([low, high], source.calibrated[0], source.calibrated[-1])
    level = np.union1d(np.linspace(low, high, KNOTS), source.calibrated.clip(low, high))
    raw = np.interp(level, source.calibrated, source.raw)
    return Calibration(raw, logit(carried_probability(sigmoid(level), days, to_days)))
