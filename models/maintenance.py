"""The maintenance schedule: the day within the horizon on which planned work costs least.

It is a cost policy over the failure curve, not a trained model. Its version is `cost-2+<failure version>`.
Working on day d costs, in expectation over the next 30 days,

    F(d) * failure + (1 - F(d)) * (planned + A(30 - d) * failure)

with F the charger's failure curve and A the curve after the work, which removes a share (`WORK_EFFECT`) of
the charger's risk above the average. Doing nothing costs F(30) * failure. `WORK_EFFECT` is an assumption.

Costs come from the settings. `metadata.costs` of a reading may override each field of `settings.Costs` by
name, and `maintenance_interval_days`. Values that are not numbers of 0 or more are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

import numpy as np

from models.failure import HORIZON_DAYS, FailureVerdict
from models.features.columns import Floats
from readings.reading import Reading, rfc3339

if TYPE_CHECKING:
    from settings import Costs

Urgency = Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"]

POLICY: Final = "cost-2"
# [A] The share of a charger's excess risk that a visit removes. Work does not find every fault, some faults
# would have passed without it, and a bad charger stays bad. In the simulator (seed 5, 1,500 chargers) a year
# of visits from a 30-day risk of .5, .6 and .7 cost 3,576, 3,403 and 3,449. With this share visits start
# at .59.
WORK_EFFECT: Final = 0.43
INTERVAL_DAYS: Final = 180.0  # ordinary service, unless metadata overrides it
MAX_COST: Final = 1e9  # keeps an override from overflowing a sum
USUAL_HOUR: Final = 9  # UTC, if the charger's own use is unknown
MEDIUM_30D: Final = 0.2
_DAYS: Final = np.arange(int(HORIZON_DAYS[-1]) + 1, dtype=np.float64)
_KNOTS: Final = np.array((0.0, *HORIZON_DAYS))
_SEGMENT: Final = np.searchsorted(_KNOTS, _DAYS, side="right") - 1


class CostBenefit(TypedDict):
    """Costs and savings of a schedule, in `currency`, as published in the HTTP API."""

    preventive_maintenance_cost: float
    expected_failure_cost: float
    net_savings: float
    currency: str


class MaintenanceVerdict(TypedDict):
    """A maintenance schedule, as published in the HTTP API."""

    charger_id: str
    recommended_date: str
    urgency: Urgency
    estimated_downtime_hours: float
    cost_benefit: CostBenefit
    rationale: list[str]
    model_version: str
    reading_timestamp: str


@dataclass(frozen=True, slots=True)
class Prices:
    """Total cost of one planned and one unplanned repair, and of a visit without work, in `currency`."""

    planned: float
    failure: float
    visit: float
    currency: str


def version(failure_version: str) -> str:
    """The schedule's model version: the policy, and the failure model's version."""
    return f"{POLICY}+{failure_version}"


def costs_of(reading: Reading, costs: Costs) -> Costs:
    """The settings' costs with the overrides of the reading's `metadata.costs`."""
    given = reading.metadata.get("costs")
    if not isinstance(given, Mapping):
        return costs
    changes: dict[str, Any] = {}
    for field in fields(costs):
        value = given.get(field.name)
        if field.name == "currency":
            if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isupper():
                changes["currency"] = value
        elif (number := _amount(value)) is not None:
            changes[field.name] = number
    return replace(costs, **changes)


def _amount(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= MAX_COST or not math.isfinite(value):
        return None
    return float(value)


def prices(costs: Costs) -> Prices:
    """Total costs: visit, parts, and lost margin while out of service."""
    planned = costs.visit + costs.parts_preventive + costs.planned_downtime_hours * costs.downtime_per_hour
    failure = (
        costs.visit * costs.emergency_factor
        + costs.parts_failure
        + costs.failure_downtime_hours * costs.downtime_per_hour
    )
    return Prices(planned, failure, costs.visit, costs.currency)


def expected_costs(curve: Floats, base_30d: float, price: Prices) -> tuple[Floats, Floats]:
    """Expected cost over the next 30 days of planned work on each day 0..30, and of no work.

    [..., days] and [...] for curves [..., horizons]. The formula is in the module's docstring.
    """
    hazard = _daily(-np.log1p(-curve))
    before = 1 - np.exp(-hazard)
    left_30d = base_30d + (1 - WORK_EFFECT) * np.maximum(curve[..., -1:] - base_30d, 0.0)
    after = 1 - (1 - left_30d) ** ((HORIZON_DAYS[-1] - _DAYS) / HORIZON_DAYS[-1])
    work = before * price.failure + (1 - before) * (price.planned + after * price.failure)
    return work, before[..., -1] * price.failure


def _daily(hazard: Floats) -> Floats:
    """The cumulative hazard [..., days] on each day, linear between horizons."""
    at_knots = np.concatenate((np.zeros((*hazard.shape[:-1], 1)), hazard), axis=-1)
    slope = np.diff(at_knots, axis=-1) / np.diff(_KNOTS)
    slope = np.concatenate((slope, np.zeros((*hazard.shape[:-1], 1))), axis=-1)  # none after the last day
    daily: Floats = slope[..., _SEGMENT] * (_DAYS - _KNOTS[_SEGMENT]) + at_knots[..., _SEGMENT]
    return daily


def schedules(
    readings: Sequence[Reading],
    failures: Sequence[FailureVerdict],
    hours: Sequence[int | None],
    *,
    costs: Costs,
    base_30d: float,
) -> list[MaintenanceVerdict]:
    """The schedules of readings from their failure verdicts and `quiet_hours`, in order.

    `base_30d` is the base rate of failure within 30 days.
    """
    curves = np.array([list(failure["horizons"].values()) for failure in failures])
    usual = prices(costs)
    usual_work, usual_nothing = expected_costs(curves, base_30d, usual)
    result = []
    for row, (reading, failure) in enumerate(zip(readings, failures, strict=True)):
        own, price, work, nothing = costs, usual, usual_work[row], usual_nothing[row]
        if "costs" in reading.metadata:
            own = costs_of(reading, costs)
            price = prices(own)
            work, nothing = expected_costs(curves[row], base_30d, price)
        result.append(_schedule(reading, failure, hours[row], own, price, work, float(nothing)))
    return result


def _schedule(
    reading: Reading,
    failure: FailureVerdict,
    hour: int | None,
    own: Costs,
    price: Prices,
    work: Floats,
    nothing: float,
) -> MaintenanceVerdict:
    day = int(work.argmin())
    worthwhile = float(work[day]) < nothing
    p30 = failure["failure_probability"]
    urgency: Urgency
    if failure["recommended_action"] == "IMMEDIATE":
        urgency = "CRITICAL"
    elif failure["recommended_action"] == "WITHIN_7_DAYS":
        urgency = "HIGH"
    else:
        urgency = "MEDIUM" if worthwhile or p30 >= MEDIUM_30D else "LOW"

    rationale: list[str] = []
    money = price.currency
    if reading.in_failure:
        rationale.append("The charger is out of service: every day costs its lost margin")
        when = reading.timestamp
    elif urgency == "CRITICAL":
        rationale.append("The risk of failure in the next days does not allow waiting for a cheaper day")
        when = reading.timestamp
    else:
        if urgency == "HIGH":
            days_ahead = float(min(max(day, 1), 7)) if worthwhile else 7.0
        elif worthwhile or urgency == "MEDIUM":
            days_ahead = float(max(day, 1)) if worthwhile else HORIZON_DAYS[-1]
        else:
            days_ahead = _days_to_ordinary_service(reading)
        when = _at_hour(reading, days_ahead, hour, rationale)
    rationale.append(
        f"Failure within 30 days: {p30:.1%}; a failure costs {price.failure:.0f} {money}, "
        f"planned work {price.planned:.0f} {money}"
    )
    if not reading.in_failure:  # there is nothing left to plan ahead
        rationale.append(
            f"Expected cost over 30 days: {nothing:.0f} {money} without planned work, {float(work[day]):.0f} "
            f"{money} with it on the best day, for it does not prevent every failure"
        )
    if not worthwhile and urgency == "LOW":
        rationale.append("Work ahead of the ordinary service would cost more than it saves")
    rationale.extend(
        f"{'Raises' if factor['direction'] == 'increases' else 'Lowers'} the risk: {factor['text']}"
        for factor in failure["top_contributing_factors"][:2]
    )
    expected = p30 * price.failure
    return {
        "charger_id": reading.charger_id,
        "recommended_date": rfc3339(when),
        "urgency": urgency,
        "estimated_downtime_hours": own.failure_downtime_hours
        if reading.in_failure
        else own.planned_downtime_hours,
        "cost_benefit": {
            "preventive_maintenance_cost": round(price.planned, 2),
            "expected_failure_cost": round(expected, 2),
            "net_savings": round(round(expected, 2) - round(price.planned, 2), 2),
            "currency": money,
        },
        "rationale": rationale,
        "model_version": version(failure["model_version"]),
        "reading_timestamp": failure["reading_timestamp"],
    }


def _days_to_ordinary_service(reading: Reading) -> float:
    """Days until the ordinary service is due, at least the horizon."""
    given = reading.metadata.get("costs")
    stated = _amount(given.get("maintenance_interval_days")) if isinstance(given, Mapping) else None
    interval = min(stated, 3650.0) if stated else INTERVAL_DAYS
    last = reading.last_maintenance
    served_days = (reading.timestamp - last).total_seconds() / 86_400 if last else 0.0
    return max(interval - max(served_days, 0.0), HORIZON_DAYS[-1])


def _at_hour(reading: Reading, days: float, hour: int | None, rationale: list[str]) -> Any:
    """The time `days` ahead at the quiet hour, but always after the reading."""
    if hour is not None:
        rationale.append(f"This charger is least in use around {hour:02d}:00 UTC within working hours")
    when = (reading.timestamp + timedelta(days=days)).replace(
        hour=USUAL_HOUR if hour is None else hour, minute=0, second=0, microsecond=0
    )
    return when if when > reading.timestamp else when + timedelta(days=1)
