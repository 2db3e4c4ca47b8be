"""Cost of maintenance policies, by simulating the same fleet under three of them. Offline only.

The policies are run to failure, service at fixed intervals, and the latter with additional visits by the
schedule. A log does not show the failures that a visit would have prevented. A simulator does, within its
assumptions. A policy uses readings only, scored every second day without later data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.costs import Prices, expected_costs
from models.failure import FailureModel
from models.features.columns import Columns, Floats, Ints, count_codes, to_millisecond
from models.features.frame import FeatureSpec, compute
from models.horizon_days import HORIZON_DAYS
from models.maintenance import INTERVAL_DAYS
from models.simulation.assumptions import CHARGERS_PER_SITE, Assumptions
from models.simulation.error_codes_sent import codes_of
from models.simulation.world import START_S, STEP_DAYS, World

NEVER_DAYS: Final = 1e9
# Minimum time between any visit and one by the schedule, as the history still contains the old symptoms.
MIN_GAP_DAYS: Final = 30.0
LOOK_EVERY_STEPS: Final = 4  # the schedule is evaluated every second day
RECORDED_STEPS: Final = 64  # enough for the history that a server stores: 60 entries of 12 hours
DRAWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy's result per charger and year: events, and cost as (value, low, high).

    `saved` is the previous policy's cost minus this one's, charger by charger. Costs are in the settings'
    currency.
    """

    policy: str
    failures: float
    rounds: float
    visits: float
    cost: tuple[float, float, float]
    saved: tuple[float, float, float] | None


def compare(
    model: FailureModel,
    price: Prices,
    base_30d: float,
    *,
    chargers: int = 300,
    days: int = 365,
    seed: int,
    assumed: Assumptions | None = None,
) -> list[Outcome]:
    """Cost per charger and year of the three policies, with 95 % bootstrap intervals over chargers.

    All three have the same chargers. Random events after the first day differ.
    """
    assumed = assumed or Assumptions()
    regular = replace(assumed, service_interval_days=INTERVAL_DAYS)
    never = replace(assumed, service_interval_days=NEVER_DAYS)
    lives = {
        "run to failure": _live(chargers, days, seed, never, None),
        "fixed intervals": _live(chargers, days, seed, regular, None),
        "schedule": _live(chargers, days, seed, regular, _chooser(model, price, base_30d)),
    }
    draws = np.random.default_rng(seed).integers(chargers, size=(DRAWS, chargers))
    outcomes: list[Outcome] = []
    before: Floats | None = None
    for policy, (failures, rounds, visits) in lives.items():
        cost = (failures * price.failure + rounds * round_cost(price) + visits * price.planned) * 365 / days
        outcomes.append(
            Outcome(
                policy,
                failures=float(failures.mean()) * 365 / days,
                rounds=float(rounds.mean()) * 365 / days,
                visits=float(visits.mean()) * 365 / days,
                cost=_interval(cost, draws),
                saved=None if before is None else _interval(before - cost, draws),
            )
        )
        before = cost
    return outcomes


def overall(by_seed: Mapping[int, Sequence[Outcome]]) -> list[Outcome]:
    """Each policy over all seeds, in the order of `compare`; costs as (mean, minimum, maximum)."""
    return [
        Outcome(
            same[0].policy,
            failures=float(np.mean([one.failures for one in same])),
            rounds=float(np.mean([one.rounds for one in same])),
            visits=float(np.mean([one.visits for one in same])),
            cost=_range([one.cost[0] for one in same]),
            saved=None if same[0].saved is None else _range([one.saved[0] for one in same if one.saved]),
        )
        for same in zip(*by_seed.values(), strict=True)
    ]


def _range(values: Sequence[float]) -> tuple[float, float, float]:
    return float(np.mean(values)), min(values), max(values)


def round_cost(price: Prices) -> float:
    """Cost of ordinary service of one charger. The chargers of a site share the travel cost."""
    return price.planned - price.visit * (1 - 1 / CHARGERS_PER_SITE)


def _interval(values: Floats, draws: Ints) -> tuple[float, float, float]:
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def _live(
    chargers: int,
    days: int,
    seed: int,
    assumed: Assumptions,
    choose: Callable[[World, float], Ints] | None,
) -> tuple[Floats, Floats, Floats]:
    """Failures, ordinary services and visits of each charger [chargers]."""
    world = World(chargers, np.random.default_rng(seed), assumed)
    world.burn_in()
    visits = np.zeros(chargers)
    for step in range(int(days / STEP_DAYS)):
        if choose is not None and step and step % LOOK_EVERY_STEPS == 0:
            chosen = choose(world, step * STEP_DAYS)
            world.visit(chosen, step * STEP_DAYS)
            visits[chosen] += 1
        world.step(step)
    failures, planned = world.counts()
    return failures, planned - visits, visits


def _chooser(model: FailureModel, price: Prices, base_30d: float) -> Callable[[World, float], Ints]:
    """Select chargers in service for which planned work now is cheaper than none."""

    def choose(world: World, day: float) -> Ints:
        columns, rows = _recorded(world, model.spec)
        curves: Floats = model.probabilities(compute(columns, model.spec, rows))
        work, nothing = expected_costs(curves, base_30d, price)
        worth = (work.argmin(axis=-1) <= HORIZON_DAYS[0]) & (work.min(axis=-1) < nothing)
        ready = world.in_service() & (day - world.serviced_day >= MIN_GAP_DAYS)
        chosen: Ints = np.flatnonzero(worth & ready)
        return chosen

    return choose


def _recorded(world: World, spec: FeatureSpec) -> tuple[Columns, Ints]:
    """The newest readings of each charger, and the row [n] of each charger's last reading."""
    seen = world.seen[-RECORDED_STEPS:]

    def column(name: str) -> Floats:
        return np.stack([one[name] for one in seen], axis=1).astype(np.float64).reshape(-1)

    masks, inverse = np.unique(column("codes").astype(np.int64), return_inverse=True)
    lists = [None if mask < 0 else codes_of(int(mask)).split(";") if mask else [] for mask in masks]
    codes = np.array([count_codes(words, spec.code_columns) for words in lists])[inverse]
    count = len(seen)
    return Columns(
        charger=np.repeat(np.arange(world.n), count),
        time_s=to_millisecond(START_S + column("at") * 86_400),
        status=column("status").astype(np.int64),
        energy_kwh=np.round(column("energy"), 2),
        power_kw=np.round(column("power"), 2),
        temperature_c=np.round(column("temperature"), 1),
        uptime_h=np.round(column("uptime"), 1),
        sessions=column("sessions"),
        serviced_s=to_millisecond(START_S + column("serviced") * 86_400),
        codes=codes,
    ), np.arange(1, world.n + 1) * count - 1
