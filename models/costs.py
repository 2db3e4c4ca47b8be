"""The cost policy: when planned work costs less than none. Not a trained model.

Working on day d costs, in expectation over the next 30 days,

    F(d) * failure + (1 - F(d)) * (planned + A(30 - d) * failure)

with F the charger's failure curve and A the curve after the work, which removes a share (`WORK_EFFECT`) of
the charger's risk above the average. Doing nothing costs F(30) * failure. `WORK_EFFECT` is an assumption.

Costs come from the settings. `metadata.costs` of a reading may override each field of `settings.Costs` by
name. Values that are not numbers of 0 or more are ignored.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson

from models.features.columns import Floats
from models.horizon_days import HORIZON_DAYS
from readings.reading import Reading

if TYPE_CHECKING:
    from settings import Costs

POLICY: Final = "cost-3"
# [A] The share of a charger's excess risk that a visit removes. Work does not find every fault, some faults
# would have passed without it, and a bad charger stays bad. In the simulator (seed 5, 1,500 chargers) a year
# of visits from a 30-day risk of .5, .6 and .7 cost 3,576, 3,403 and 3,449. With this share visits start
# at .59.
WORK_EFFECT: Final = 0.43
MAX_COST: Final = 1e9  # keeps an override from overflowing a sum
_DAYS: Final = np.arange(int(HORIZON_DAYS[-1]) + 1, dtype=np.float64)
_KNOTS: Final = np.array((0.0, *HORIZON_DAYS))
_SEGMENT: Final = np.searchsorted(_KNOTS, _DAYS, side="right") - 1


@dataclass(frozen=True, slots=True)
class Prices:
    """Total cost of one planned and one unplanned repair, and of a visit without work, in `currency`."""

    planned: float
    failure: float
    visit: float
    currency: str


class Saving(NamedTuple):
    """The expected saving of planned work on the best day within 30 days; 0 if no day pays."""

    amount: float
    currency: str


@dataclass(frozen=True)
class CostPolicy:
    """The policy with the costs of the settings. `base_30d` is the base rate of failure within 30 days."""

    costs: Costs
    base_30d: float

    @cached_property
    def version(self) -> str:
        """The policy's name and a digest of the costs. Verdicts of other versions are not reused."""
        values = orjson.dumps(asdict(self.costs), option=orjson.OPT_SORT_KEYS)
        return f"{POLICY}-{hashlib.blake2b(values, digest_size=4).hexdigest()}"

    @cached_property
    def usual(self) -> Prices:
        """The prices of a reading without costs of its own."""
        return prices(self.costs)

    def savings(self, readings: Sequence[Reading], curve: Sequence[Sequence[float]]) -> list[Saving]:
        """The saving of each reading, in order. `curve` [n, horizons] are failure probabilities."""
        usual = self.usual
        found = [Saving(0.0, usual.currency)] * len(readings)
        # Work cannot save more than a failure costs, so most rows need no curve of costs.
        candidates: list[int] = []
        for row, reading in enumerate(readings):
            if "costs" in reading.metadata:
                price = prices(costs_of(reading, self.costs))
                found[row] = Saving(self._saving(curve[row], price), price.currency)
            elif curve[row][-1] * usual.failure > usual.planned:
                candidates.append(row)
        if candidates:
            work, nothing = expected_costs(np.array([curve[row] for row in candidates]), self.base_30d, usual)
            for row, saved in zip(candidates, (nothing - work.min(axis=-1)).tolist(), strict=True):
                found[row] = Saving(round(max(saved, 0.0), 2), usual.currency)
        return found

    def _saving(self, curve: Sequence[float], price: Prices) -> float:
        work, nothing = expected_costs(np.array(curve), self.base_30d, price)
        return round(max(float(nothing - work.min()), 0.0), 2)


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
        elif (number := amount(value)) is not None:
            changes[field.name] = number
    return replace(costs, **changes)


def amount(value: Any) -> float | None:
    """A number of 0 to `MAX_COST`, or None for any other value."""
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
