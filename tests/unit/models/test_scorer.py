"""What callers rely on, shown on the committed versions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from errors import UnknownModel
from models.features.columns import HistoryEntries
from models.scorer import Scorer
from models.scoring_batch import Batch
from readings.reading import KINDS, STATUSES, Kind, Reading
from tests.unit.models.samples import NOON, varied

NOW = NOON.timestamp()
Make = Callable[..., Reading]


def p30(scorer: Scorer, reading: Reading) -> float:
    return float(scorer.score("failure", [reading])[0]["failure_probability"])


def test_a_thousand_varied_readings_get_many_probabilities(scorer: Scorer, reading: Make) -> None:
    verdicts = scorer.score("failure", varied(reading, 1000))
    assert len({verdict["failure_probability"] for verdict in verdicts}) >= 300


def test_heat_and_ground_fault_raise_the_risk_clearly(scorer: Scorer, reading: Make) -> None:
    for status, power in (("CHARGING", 47.5), ("CHARGING", 7.2), ("AVAILABLE", 0.0)):
        base = p30(scorer, reading(connector_status=status, power=power))
        assert p30(scorer, reading(connector_status=status, power=power, temperature=95.0)) > 1.3 * base
        ground = reading(connector_status=status, power=power, error_codes=("GroundFailure",))
        assert p30(scorer, ground) > 1.3 * base


def test_a_healthy_reading_is_low_and_a_hot_faulty_one_high(scorer: Scorer, reading: Make) -> None:
    healthy = reading(connector_status="AVAILABLE", power=0.0, temperature=21.0)
    sick = reading(
        connector_status="FAULTY",
        power=0.0,
        temperature=92.0,
        error_codes=("HighTemperature", "GroundFailure"),
    )
    assert p30(scorer, healthy) < 0.15
    assert p30(scorer, sick) > 0.5


def test_horizons_are_monotone_and_probabilities(scorer: Scorer, reading: Make) -> None:
    for verdict in scorer.score("failure", varied(reading, 500, seed=2)):
        day, week, month = verdict["horizons"].values()
        assert 0 < day <= week <= month < 1
        assert verdict["failure_probability"] == month
        assert 0 <= verdict["confidence"] <= 1
        if verdict["predicted_failure_date"] is None:
            assert verdict["predicted_failure_window"] == {"start": None, "end": None}
            assert month < 0.5
        else:
            window = verdict["predicted_failure_window"]
            assert window["start"] <= verdict["predicted_failure_date"] <= window["end"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_fields_are_enough_and_the_answer_is_plain_json(scorer: Scorer, kind: Kind) -> None:
    bare = Reading("EVZ-1", "AVAILABLE", NOON)
    (verdict,) = scorer.score(kind, [bare], scored_at=NOW)
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict
    assert verdict["charger_id"] == "EVZ-1"
    assert verdict["model_version"] == scorer.versions[kind]
    assert verdict["reading_timestamp"] == "2026-05-04T12:00:00.000Z"


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_scores_like_its_readings_alone(scorer: Scorer, reading: Make, kind: Kind) -> None:
    batch = varied(reading, 60, seed=3)
    past = [entry.__class__(**{**_fields(entry), "timestamp": NOON - timedelta(hours=13)}) for entry in batch]
    histories = [past[i : i + i % 4] for i in range(len(batch))]
    together = scorer.score(kind, batch, histories, scored_at=NOW)
    alone = [
        scorer.score(kind, [one], [history], scored_at=NOW)[0]
        for one, history in zip(batch, histories, strict=True)
    ]
    assert together == alone
    assert scorer.score(kind, batch, histories, scored_at=NOW) == together


def _fields(entry: Reading) -> dict[str, Any]:
    return entry._asdict()


def test_missing_is_not_zero(scorer: Scorer, reading: Make) -> None:
    known = reading(temperature=0.0, power=0.0, energy_delivered=0.0, uptime_hours=0.0, total_sessions=0)
    missing = reading(
        temperature=None, power=None, energy_delivered=None, uptime_hours=None, total_sessions=None
    )
    assert p30(scorer, known) != p30(scorer, missing)


@pytest.mark.parametrize("kind", KINDS)
def test_history_that_is_not_older_changes_nothing(scorer: Scorer, reading: Make, kind: Kind) -> None:
    now = reading(connector_status="AVAILABLE", power=0.0, temperature=21.0)
    later = [reading(timestamp=NOON + timedelta(hours=hour), temperature=95.0) for hour in range(30)]
    assert scorer.score(kind, [now], [later], scored_at=NOW) == scorer.score(kind, [now], scored_at=NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_a_history_may_come_as_entries(scorer: Scorer, reading: Make, kind: Kind) -> None:
    batch = varied(reading, 20, seed=8)
    pasts = [[one._replace(timestamp=NOON - timedelta(hours=13 * n)) for n in range(30)] for one in batch]
    entries = [HistoryEntries.of(past) for past in pasts]
    assert scorer.score(kind, batch, entries, scored_at=NOW) == scorer.score(
        kind, batch, pasts, scored_at=NOW
    )


def test_a_faulty_reading_is_urgent(scorer: Scorer, reading: Make) -> None:
    faulty = reading(connector_status="FAULTY", power=0.0)
    (failure,) = scorer.score("failure", [faulty])
    (schedule,) = scorer.score("maintenance", [faulty])
    assert failure["in_failure"] is True
    assert failure["recommended_action"] == "IMMEDIATE"
    assert schedule["urgency"] == "CRITICAL"
    assert not any("without planned work" in reason for reason in schedule["rationale"])
    (sound,) = scorer.score("maintenance", [reading(connector_status="AVAILABLE", power=0.0)])
    assert any("without planned work" in reason for reason in sound["rationale"])


@pytest.mark.parametrize(
    "changes",
    [
        {"error_codes": ("GroundFailure",)},
        {"error_codes": ("OverCurrentFailure",)},
        {"error_codes": ("highTemperature",)},
        {"error_codes": ("CX002",)},
        {"temperature": 96.0},
    ],
)
def test_no_remote_reset_onto_a_dangerous_fault(
    scorer: Scorer, reading: Make, changes: dict[str, Any]
) -> None:
    for status in STATUSES:
        (verdict,) = scorer.score("failure", [reading(connector_status=status, **changes)])
        assert not any("reset" in step.lower() for step in verdict["recommended_actions"])


def test_remote_steps_come_before_the_visit(scorer: Scorer, reading: Make) -> None:
    stuck = reading(connector_status="FAULTY", error_codes=("ConnectorLockFailure",))
    steps = scorer.score("failure", [stuck])[0]["recommended_actions"]
    assert "Reset" in steps[0]
    assert "Unlock" in steps[1]
    assert "technician" in steps[-1]


def test_anomaly_names_the_rule(scorer: Scorer, reading: Make) -> None:
    wanted = {
        "OVER_TEMPERATURE": reading(temperature=95.0),
        "ELECTRICAL_FAULT": reading(error_codes=("GroundFailure",)),
        "POWER_WITHOUT_SESSION": reading(connector_status="AVAILABLE", power=30.0),
        "FAULT_STATE": reading(connector_status="FAULTY", power=0.0),
    }
    for kind, odd in wanted.items():
        (verdict,) = scorer.score("anomaly", [odd])
        assert (verdict["is_anomaly"], verdict["anomaly_type"]) == (True, kind)
        assert 50 <= verdict["anomaly_score"] <= 100
    (verdict,) = scorer.score("anomaly", [reading(connector_status="AVAILABLE", power=0.0, temperature=20.0)])
    assert (verdict["is_anomaly"], verdict["anomaly_type"]) == (False, None)


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        ({"temperature": 41.0}, "SENSOR_IMPLAUSIBLE"),
        ({"temperature": 41.5}, None),
        ({"temperature": None}, None),
        ({"temperature": 160.0}, "SENSOR_IMPLAUSIBLE"),
        ({"temperature": 41.0, "error_codes": ("GroundFailure",)}, "ELECTRICAL_FAULT"),
    ],
)
def test_a_stuck_temperature_sensor_is_an_anomaly(
    scorer: Scorer, reading: Make, now: dict[str, Any], kind: str | None
) -> None:
    latest = reading(**{"connector_status": "AVAILABLE", "power": 0.0, "error_codes": (), **now})
    past = [
        reading(
            connector_status="CHARGING" if n < 4 else "AVAILABLE",
            power=7.0 if n < 4 else 0.0,
            temperature=41.0,
            error_codes=(),
            timestamp=latest.timestamp - timedelta(hours=12 * n),
        )
        for n in range(1, 15)
    ]
    (verdict,) = scorer.score("anomaly", [latest], [past])
    assert verdict["anomaly_type"] == kind


def test_costs_in_metadata_count_only_where_they_are_amounts(scorer: Scorer, reading: Make) -> None:
    def cost(costs: Any) -> Any:
        (schedule,) = scorer.score("maintenance", [reading(metadata={"costs": costs})])
        return schedule["cost_benefit"]

    plain = cost(None)
    amounts: list[Any] = ["cheap", -1, float("nan"), float("inf"), True, [450], 10**400]
    for nonsense in (7, [], *({"visit": amount} for amount in amounts)):
        assert cost(nonsense) == plain
    assert cost({"visit": float("inf"), "currency": "euro", "parts": 3}) == plain
    dear = cost({"visit": 1000, "currency": "EUR"})
    assert dear["preventive_maintenance_cost"] == plain["preventive_maintenance_cost"] + 550
    assert dear["currency"] == "EUR"
    assert dear["net_savings"] < plain["net_savings"]


def test_factors_point_where_they_push(scorer: Scorer, reading: Make) -> None:
    (verdict,) = scorer.score("failure", [reading(error_codes=("GroundFailure",), temperature=95.0)])
    factors = verdict["top_contributing_factors"]
    assert {factor["feature"] for factor in factors} & {"codes", "codes_ground", "temperature_c"}
    assert all((factor["direction"] == "increases") == (factor["weight"] > 0) for factor in factors)


def test_unknown_kind(scorer: Scorer, reading: Make) -> None:
    with pytest.raises(UnknownModel):
        scorer.score("weather", [reading()])  # type: ignore[arg-type]


def test_info_says_what_it_was_trained_on(scorer: Scorer) -> None:
    entries = scorer.info()
    assert [entry["name"] for entry in entries] == list(KINDS)
    assert all("simulated" in entry["trained_on"] for entry in entries)


def test_serving_imports_no_training_library() -> None:
    heavy = ("pandas", "sklearn", "scipy", "matplotlib", "onnx", "marshmallow")
    code = f"import sys, models.scorer; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_batch_asked_for_all_kinds_says_of_each_what_it_says_alone(scorer: Scorer, reading: Make) -> None:
    readings = varied(reading, 20)
    histories = [[one._replace(timestamp=NOON - timedelta(days=day)) for day in (1, 3)] for one in readings]
    batch = Batch(readings, histories, scored_at=NOW)
    for kind in KINDS:
        assert scorer.verdicts(kind, batch) == scorer.score(kind, readings, histories, scored_at=NOW)
