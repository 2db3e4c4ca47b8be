"""The action, the schedule, the costs and the reasons of one reading agree with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from models.actions import MONTH_30D
from models.costs import CostPolicy
from models.maintenance import URGENCIES
from models.scorer import Scorer
from models.scoring_batch import Batch
from readings.reading import STATUSES, Reading, rfc3339
from settings import Costs
from tests.unit.models.samples import varied

Make = Callable[..., Reading]


@pytest.mark.parametrize("own", [{}, {"parts_failure": 20_000.0}, {"visit": 50_000.0}])
def test_date_action_savings_and_reasons_agree(scorer: Scorer, reading: Make, own: dict[str, float]) -> None:
    readings = varied(reading, 500, seed=4)
    if own:
        readings = [one._replace(metadata={"costs": own}) for one in readings]
    batch = Batch(readings)
    now = rfc3339(datetime.fromtimestamp(batch.scored_at, UTC))
    pairs = zip(scorer.verdicts("failure", batch), scorer.verdicts("maintenance", batch), strict=True)
    seen = Counter[str]()
    for failure, schedule in pairs:
        action, savings = failure["recommended_action"], schedule["cost_benefit"]["net_savings"]
        seen[action] += 1
        assert URGENCIES[action] == schedule["urgency"]
        assert failure["cost_of_waiting"] == max(savings, 0)
        assert schedule["worthwhile"] is (savings > 0 or failure["in_failure"])
        assert schedule["recommended_date"] >= now
        assert action != "NONE" or (failure["failure_probability"] < MONTH_30D and savings <= 0)
        if not failure["in_failure"]:
            told = any(reason.endswith(f"save {savings:.0f} USD") for reason in schedule["rationale"])
            assert told is schedule["worthwhile"]
    assert len(seen) >= 2


def test_a_quiet_charger_needs_no_visit(scorer: Scorer, reading: Make) -> None:
    (verdict,) = scorer.score("failure", [reading(connector_status="AVAILABLE", power=0.0, temperature=20.0)])
    assert verdict["recommended_action"] == "NONE"
    assert verdict["recommended_actions"] == ["No visit of its own: include it in the next ordinary service"]


def test_dear_failures_make_a_visit_worthwhile_within_30_days(scorer: Scorer, reading: Make) -> None:
    calm = reading(connector_status="AVAILABLE", power=0.0, temperature=20.0)
    dear = calm._replace(metadata={"costs": {"visit": 1.0, "parts_preventive": 0, "parts_failure": 1e6}})
    (verdict,) = scorer.score("failure", [dear])
    assert verdict["recommended_action"] == "WITHIN_30_DAYS"
    assert verdict["failure_probability"] < MONTH_30D
    assert verdict["cost_of_waiting"] > 0


def test_a_dangerous_fault_is_never_left_to_the_ordinary_service(scorer: Scorer, reading: Make) -> None:
    for status in STATUSES:
        (verdict,) = scorer.score("failure", [reading(connector_status=status, error_codes=("RCM",))])
        assert verdict["recommended_action"] != "NONE"
        assert "out of service" in verdict["recommended_actions"][0]


def test_other_costs_are_another_policy_version(scorer: Scorer, costs: Costs) -> None:
    base = CostPolicy(costs, 0.1)
    assert base.version == CostPolicy(replace(costs), 0.2).version
    assert base.version != CostPolicy(replace(costs, visit=costs.visit + 1), 0.1).version
    assert scorer.versions["maintenance"] == f"{base.version}+{scorer.versions['failure']}"


def test_reasons_are_plain_words(scorer: Scorer, reading: Make) -> None:
    bare = reading(
        error_codes=None,
        temperature=None,
        power=None,
        energy_delivered=None,
        uptime_hours=None,
        total_sessions=None,
    )
    texts = [
        factor["text"]
        for one in (bare, reading(error_codes=()), reading(connector_status="FAULTY"))
        for factor in scorer.score("failure", [one])[0]["top_contributing_factors"]
    ]
    assert not any("not known" in text or text.startswith("is_") for text in texts)
    assert any(text.startswith("no ") for text in texts)
