"""Three policies on one simulated fleet: the mechanics, not the money (`evaluate` reports that)."""

from __future__ import annotations

import pytest

from models import registry
from models.assumptions import CHARGERS_PER_SITE
from models.evaluation import COSTS
from models.maintenance import prices
from models.policy import compare, round_cost
from models.scorer import failure_model
from tests.unit.models.conftest import VERSIONS


def test_each_policy_does_what_its_name_says() -> None:
    version = registry.load(VERSIONS, "failure", registry.active_version(VERSIONS, "failure"))
    base = version.manifest["base_rate"]["30d"]
    outcomes = compare(failure_model(version), prices(COSTS), base, chargers=40, days=40)
    never, fixed, schedule = outcomes
    assert [one.policy for one in outcomes] == ["run to failure", "fixed intervals", "schedule"]
    assert never.rounds == never.visits == fixed.visits == 0 < fixed.rounds
    assert schedule.visits > 0
    assert all(one.cost[1] <= one.cost[0] <= one.cost[2] for one in outcomes)
    assert never.saved is None
    assert fixed.saved is not None
    assert abs(fixed.saved[0] - (never.cost[0] - fixed.cost[0])) < 1e-6


def test_a_round_shares_its_way_and_a_visit_does_not() -> None:
    price = prices(COSTS)
    assert round_cost(price) < price.planned
    assert round_cost(price) == pytest.approx(price.planned - COSTS.visit + COSTS.visit / CHARGERS_PER_SITE)
