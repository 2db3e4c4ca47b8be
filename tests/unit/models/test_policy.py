"""Three policies on one simulated fleet: the mechanics, not the money (`evaluate` reports that)."""

from __future__ import annotations

from models import registry
from models.evaluation import COSTS
from models.maintenance import prices
from models.policy import compare
from models.scorer import failure_model
from tests.unit.models.conftest import VERSIONS


def test_each_policy_does_what_its_name_says() -> None:
    version = registry.load(VERSIONS, "failure", registry.active_version(VERSIONS, "failure"))
    base = version.manifest["base_rate"]["30d"]
    outcomes = compare(failure_model(version), prices(COSTS), base, chargers=40, days=40)
    never, fixed, schedule = outcomes
    assert [one.policy for one in outcomes] == ["run to failure", "fixed intervals", "schedule"]
    assert never.visits == 0 < fixed.visits <= schedule.visits
    assert all(one.low <= one.cost <= one.high for one in outcomes)
