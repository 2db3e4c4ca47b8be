"""Three policies on one simulated fleet: the mechanics, not the money (`evaluate` reports that)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models import registry
from models.costs import prices
from models.evaluation import evaluate_version, policies
from models.evaluation.evaluate_version import COSTS
from models.evaluation.policies import Outcome, compare, overall, round_cost
from models.scorer import failure_model
from models.simulation.assumptions import CHARGERS_PER_SITE
from tests.unit.models.samples import VERSIONS


def test_each_policy_does_what_its_name_says() -> None:
    version = registry.load(VERSIONS, "failure", registry.active_version(VERSIONS, "failure"))
    base = version.manifest["base_rate"]["30d"]
    outcomes = compare(failure_model(version), prices(COSTS), base, chargers=40, days=40, seed=11)
    never, fixed, schedule = outcomes
    assert [one.policy for one in outcomes] == ["run to failure", "fixed intervals", "schedule"]
    assert never.rounds == never.visits == fixed.visits == 0 < fixed.rounds
    assert schedule.visits > 0
    assert all(one.cost[1] <= one.cost[0] <= one.cost[2] for one in outcomes)
    assert never.saved is None
    assert fixed.saved is not None
    assert abs(fixed.saved[0] - (never.cost[0] - fixed.cost[0])) < 1e-6


def test_seeds_are_summed_up_by_mean_and_range() -> None:
    def lived(cost: float, saved: float) -> list[Outcome]:
        return [
            Outcome("run to failure", 2.0, 0.0, 0.0, (cost, cost - 9, cost + 9), None),
            Outcome("schedule", 1.0, 0.0, cost / 100, (cost - saved, 0.0, 999.0), (saved, -9.0, 99.0)),
        ]

    never, schedule = overall({7: lived(100.0, 10.0), 8: lived(300.0, 50.0), 9: lived(200.0, 30.0)})
    assert (never.policy, never.cost, never.saved) == ("run to failure", (200.0, 100.0, 300.0), None)
    assert (schedule.cost, schedule.saved) == ((170.0, 90.0, 250.0), (30.0, 10.0, 50.0))
    assert schedule.visits == pytest.approx(2.0)


def test_an_evaluation_judges_the_cost_on_five_fleets_from_its_own_seed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.load(VERSIONS, "failure", registry.active_version(VERSIONS, "failure"))
    seeds: list[int] = []

    def lived(*_: object, seed: int, **__: object) -> list[Outcome]:
        seeds.append(seed)
        return [Outcome("run to failure", 1.0, 0.0, 0.0, (seed, seed - 1, seed + 1), None)]

    monkeypatch.setattr(policies, "compare", lived)
    monkeypatch.setattr(evaluate_version, "SIMULATED_DAYS", 100)
    evaluation = evaluate_version.evaluate(
        failure_model(version),
        version.manifest,
        tmp_path,
        history=None,
        mapping={},
        since=None,
        to=None,
        chargers=30,
        seed=40,
    )
    assert seeds == [40, 41, 42, 43, 44]
    assert {path.name for path in evaluation.files} == {"report.md", "report.html", "report.json"}
    reported = json.loads((tmp_path / "report.json").read_text())["policies"]
    assert list(reported["by_seed"]) == ["40", "41", "42", "43", "44"]
    assert reported["overall"][0]["cost"] == [42.0, 40.0, 44.0]
    markdown = (tmp_path / "report.md").read_text()
    assert "mean and range of 5 seeds" in markdown
    assert "seed 43" in markdown


def test_a_round_shares_its_way_and_a_visit_does_not() -> None:
    price = prices(COSTS)
    assert round_cost(price) < price.planned
    assert round_cost(price) == pytest.approx(price.planned - COSTS.visit + COSTS.visit / CHARGERS_PER_SITE)
