"""What a maintenance policy costs: the same simulated fleet lived three times. Offline only.

Run to failure, service at fixed intervals, and service at fixed intervals with visits that the schedule
asks for in between. A log cannot tell what a visit would have prevented; a simulator can, within its
assumptions. The policy sees readings only, scored each day with what was known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.assumptions import Assumptions
from models.columns import Floats, Ints
from models.failure import HORIZON_DAYS, FailureModel
from models.features import compute
from models.maintenance import Prices, expected_costs
from models.world import STEP_DAYS, World

NEVER_DAYS: Final = 1e9
# No second visit by the schedule so soon after any other: the past still holds the old signs.
MIN_GAP_DAYS: Final = 30.0
RECORDED_STEPS: Final = 64  # what a server keeps: 60 entries of 12 hours


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy's year: events a charger and year, and cost in the settings' currency."""

    policy: str
    failures: float
    visits: float
    cost: float
    low: float
    high: float


def compare(
    model: FailureModel,
    price: Prices,
    base_30d: float,
    *,
    chargers: int = 300,
    days: int = 365,
    seed: int = 11,
    assumed: Assumptions | None = None,
    interval_days: float | None = None,
) -> list[Outcome]:
    """Cost a charger and year of the three policies, with 95 % bootstrap intervals over chargers."""
    assumed = assumed or Assumptions()
    fixed = assumed if interval_days is None else replace(assumed, service_interval_days=interval_days)
    never = replace(assumed, service_interval_days=NEVER_DAYS)
    return [
        _live("run to failure", chargers, days, seed, never, price, None),
        _live("fixed intervals", chargers, days, seed, fixed, price, None),
        _live("schedule", chargers, days, seed, fixed, price, _chooser(model, price, base_30d)),
    ]


def _live(
    name: str,
    chargers: int,
    days: int,
    seed: int,
    assumed: Assumptions,
    price: Prices,
    choose: Callable[[World, float], Ints] | None,
) -> Outcome:
    world = World(chargers, np.random.default_rng(seed), assumed)
    world.burn_in()
    for step in range(int(days / STEP_DAYS)):
        if choose is not None and step % 2 == 0 and step >= 2:
            world.visit(choose(world, step * STEP_DAYS), step * STEP_DAYS)
        world.step(step)
    failures, visits = world.counts()
    cost = (failures * price.failure + visits * price.planned) * 365 / days
    rng = np.random.default_rng(seed)
    means = [float(cost[rng.integers(chargers, size=chargers)].mean()) for _ in range(500)]
    low, high = np.quantile(means, [0.025, 0.975])
    per_year = 365 / days
    return Outcome(
        name,
        float(failures.mean()) * per_year,
        float(visits.mean()) * per_year,
        float(cost.mean()),
        float(low),
        float(high),
    )


def _chooser(model: FailureModel, price: Prices, base_30d: float) -> Callable[[World, float], Ints]:
    """The chargers in service for which the schedule finds planned work now cheaper than none."""

    def choose(world: World, day: float) -> Ints:
        columns, rows = world.columns(model.spec, RECORDED_STEPS)
        curves: Floats = model.probabilities(compute(columns, model.spec, rows))
        worth = np.array([_now_is_best(curve, base_30d, price) for curve in curves])
        ready = world.in_service() & (day - world.serviced_day >= MIN_GAP_DAYS)
        chosen: Ints = np.flatnonzero(worth & ready)
        return chosen

    return choose


def _now_is_best(curve: Floats, base_30d: float, price: Prices) -> bool:
    work, nothing = expected_costs(curve, base_30d, price)
    return int(work.argmin()) <= HORIZON_DAYS[0] and float(work.min()) < float(nothing)
