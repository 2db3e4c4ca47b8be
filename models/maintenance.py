"""The maintenance schedule: the day within the horizon on which planned work costs least.

It applies the cost policy (`models/costs.py`) to the failure curve, and is not a trained model. Its version
is the policy's and the failure model's, joined by `+`. `metadata.costs` of a reading may override the costs,
and `maintenance_interval_days`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypedDict

import numpy as np

from models.costs import CostPolicy, Prices, amount, costs_of, expected_costs, prices
from models.failure import FailureVerdict
from models.features.columns import Floats
from models.horizon_days import HORIZON_DAYS
from readings.reading import Reading, rfc3339

if TYPE_CHECKING:
    from settings import Costs

Urgency = Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"]

URGENCIES: Final[Mapping[str, Urgency]] = {
    "IMMEDIATE": "CRITICAL",
    "WITHIN_7_DAYS": "HIGH",
    "WITHIN_30_DAYS": "MEDIUM",
    "NONE": "LOW",
}
INTERVAL_DAYS: Final = 180.0  # ordinary service, unless metadata overrides it
USUAL_HOUR: Final = 9  # UTC, if the charger's own use is unknown
DAY_S: Final = 86_400.0


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
    worthwhile: bool
    urgency: Urgency
    estimated_downtime_hours: float
    cost_benefit: CostBenefit
    rationale: list[str]
    model_version: str
    reading_timestamp: str


def version(policy: CostPolicy, failure_version: str) -> str:
    """The schedule's model version: the policy's, and the failure model's."""
    return f"{policy.version}+{failure_version}"


def schedules(
    readings: Sequence[Reading],
    failures: Sequence[FailureVerdict],
    hours: Sequence[int | None],
    *,
    policy: CostPolicy,
    scored_at: float,
) -> list[MaintenanceVerdict]:
    """The schedules of readings from their failure verdicts and `quiet_hours`, in order.

    No date is before `scored_at` (epoch seconds).
    """
    curves = np.array([list(failure["horizons"].values()) for failure in failures])
    usual_work, usual_nothing = expected_costs(curves, policy.base_30d, policy.usual)
    now = datetime.fromtimestamp(scored_at, UTC)
    result = []
    for row, (reading, failure) in enumerate(zip(readings, failures, strict=True)):
        own, price, work, nothing = policy.costs, policy.usual, usual_work[row], usual_nothing[row]
        if "costs" in reading.metadata:
            own = costs_of(reading, policy.costs)
            price = prices(own)
            work, nothing = expected_costs(curves[row], policy.base_30d, price)
        plan = _Plan(reading, max(reading.timestamp, now), own, price, work, float(nothing))
        result.append(plan.verdict(failure, hours[row], version(policy, failure["model_version"])))
    return result


class _Plan:
    """The plan of one reading: the best day, the expected saving on it, and whether a visit is worthwhile."""

    def __init__(
        self, reading: Reading, earliest: datetime, own: Costs, price: Prices, work: Floats, nothing: float
    ) -> None:
        self._reading, self._earliest, self._own, self._price = reading, earliest, own, price
        self._day = int(work.argmin())
        self._best, self._nothing = float(work[self._day]), nothing
        self._savings = round(nothing - self._best, 2)
        if reading.in_failure:  # it must be repaired anyway, so a visit loses nothing
            self._savings = max(self._savings, 0.0)
        self._worthwhile = reading.in_failure or self._savings > 0

    def verdict(self, failure: FailureVerdict, hour: int | None, model_version: str) -> MaintenanceVerdict:
        """The schedule. `hour` is the quiet hour, None if unknown."""
        price, own, in_failure = self._price, self._own, self._reading.in_failure
        urgency = URGENCIES[failure["recommended_action"]]
        rationale: list[str] = []
        when = self._date(urgency, hour, rationale)
        p30 = failure["failure_probability"]
        rationale += self._reasons(p30, urgency)
        rationale += (
            f"{'Raises' if factor['direction'] == 'increases' else 'Lowers'} the risk: {factor['text']}"
            for factor in failure["top_contributing_factors"][:2]
        )
        return {
            "charger_id": self._reading.charger_id,
            "recommended_date": rfc3339(when),
            "worthwhile": self._worthwhile,
            "urgency": urgency,
            "estimated_downtime_hours": own.failure_downtime_hours
            if in_failure
            else own.planned_downtime_hours,
            "cost_benefit": {
                "preventive_maintenance_cost": round(price.planned, 2),
                "expected_failure_cost": round(p30 * price.failure, 2),
                "net_savings": self._savings,
                "currency": price.currency,
            },
            "rationale": rationale,
            "model_version": model_version,
            "reading_timestamp": failure["reading_timestamp"],
        }

    def _date(self, urgency: Urgency, hour: int | None, rationale: list[str]) -> datetime:
        if self._reading.in_failure:
            rationale.append("The charger is out of service: every day costs its lost margin")
            return self._earliest
        if urgency == "CRITICAL":
            rationale.append("The risk of failure in the next days does not allow waiting for a cheaper day")
            return self._earliest
        days = float(max(self._day, 1)) if self._worthwhile else HORIZON_DAYS[-1]
        if urgency == "HIGH":
            days = min(days, 7.0)
        elif urgency == "LOW":
            days = _days_to_ordinary_service(self._reading)
        if hour is not None:
            rationale.append(f"This charger is least in use around {hour:02d}:00 UTC within working hours")
        day = self._reading.timestamp + timedelta(days=days)
        if day < self._earliest:
            rationale.append("The best day by this reading has passed: the next one is as good as any")
        return _at_hour(max(day, self._earliest), USUAL_HOUR if hour is None else hour, self._earliest)

    def _reasons(self, p30: float, urgency: Urgency) -> list[str]:
        price, money = self._price, self._price.currency
        found = [
            f"Failure within 30 days: {p30:.1%}; a failure costs {price.failure:.0f} {money}, "
            f"planned work {price.planned:.0f} {money}"
        ]
        if self._reading.in_failure:  # there is nothing left to plan ahead
            return found
        found.append(
            f"Expected cost over 30 days: {self._nothing:.0f} {money} without planned work, {self._best:.0f} "
            f"{money} with it on the best day, for it does not prevent every failure"
        )
        if self._worthwhile:
            found.append(f"Planned work on the best day is expected to save {self._savings:.0f} {money}")
        elif urgency == "LOW":
            found.append("Work ahead of the ordinary service would cost more than it saves")
        else:
            found.append("The risk calls for a visit, though planned work is not expected to save money")
        return found


def _days_to_ordinary_service(reading: Reading) -> float:
    """Days until the ordinary service is due, at least the horizon."""
    given = reading.metadata.get("costs")
    stated = amount(given.get("maintenance_interval_days")) if isinstance(given, Mapping) else None
    interval = min(stated, 3650.0) if stated else INTERVAL_DAYS
    last = reading.last_maintenance
    served_days = (reading.timestamp - last).total_seconds() / DAY_S if last else 0.0
    return max(interval - max(served_days, 0.0), HORIZON_DAYS[-1])


def _at_hour(day: datetime, hour: int, earliest: datetime) -> datetime:
    """The hour (UTC) on the given day, or on the next one if it is then before `earliest`."""
    when = day.replace(hour=hour, minute=0, second=0, microsecond=0)
    return when if when >= earliest else when + timedelta(days=1)
