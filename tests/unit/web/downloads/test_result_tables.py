"""Results as tables: the same values as the JSON lines that they are read from."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from models import anomaly
from tasks.jobs.job_record import JOB_KINDS, JobKind
from web.downloads.result_tables import ANOMALY_FEATURES, SCHEMAS, flat, table_of, without_formulas

SERVED = {
    "model_version": "simulated-3",
    "reading_timestamp": "2026-11-20T08:30:00.000Z",
    "tenant_id": None,
    "timestamp": "2026-11-23T11:10:23.742Z",
    "reading_stale": True,
    "cached": False,
    "degraded": False,
    "fingerprint": "6aa6c0d2",
}
FACTOR = {
    "factor": "temperature",
    "feature": "temperature_c",
    "value": 71.5,
    "unit": "°C",
    "text": 'temperature "71.5" \\ °C\n',
    "direction": "increases",
    "weight": -1e-7,
}
VERDICTS: dict[str, dict[str, Any]] = {
    "failure": {
        "failure_probability": 0.806738,
        "horizons": {"1d": 1e-05, "7d": 0.458067, "30d": 0.806738},
        "predicted_failure_date": "2026-11-29T03:36:50.878Z",
        "predicted_failure_window": {"start": None, "end": "2026-12-14T14:41:34.735Z"},
        "confidence": 0.7928,
        "recommended_action": "WITHIN_7_DAYS",
        "recommended_actions": ["Reset, then look", 'Say "done"'],
        "top_contributing_factors": [FACTOR, FACTOR | {"value": None}],
        "in_failure": True,
        "cost_of_waiting": 135.63,
        "currency": "USD",
        "cost_policy": "cost-3-3e4c454c",
        **SERVED,
    },
    "maintenance": {
        "recommended_date": "2026-11-21T09:00:00.000Z",
        "worthwhile": False,
        "urgency": "HIGH",
        "estimated_downtime_hours": 2.5,
        "cost_benefit": {
            "preventive_maintenance_cost": 579.6,
            "expected_failure_cost": 2199.97,
            "net_savings": 1620.37,
            "currency": "USD",
        },
        "rationale": [],
        **SERVED,
    },
    "anomaly": {
        "is_anomaly": True,
        "anomaly_score": 90.5,
        "anomaly_type": None,
        "deviation": {"codes": 5.52, "temperature_c": -4.45},
        **SERVED,
    },
}
FAILED: dict[str, Any] = {
    "row": 2,
    "charger_id": None,
    "error": {
        "code": "invalid_reading",
        "detail": "/power: Not a valid number.",
        "errors": [{"pointer": "/power", "detail": "Not a valid number.", "code": "type"}],
    },
}


def verdict(kind: JobKind) -> dict[str, Any]:
    return VERDICTS if kind == "all" else VERDICTS[kind]


def scored(kind: JobKind) -> dict[str, Any]:
    return {"row": 1, "charger_id": "EVZ-1", **verdict(kind)}


def without_nulls(value: Any) -> Any:
    """As tables and JSON can be compared: a table has null where JSON has nothing."""
    if isinstance(value, dict):
        kept = {name: without_nulls(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def as_text(value: Any) -> Any:
    """Moments as the JSON writes them."""
    if isinstance(value, dict):
        return {name: as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_text(inner) for inner in value]
    return (
        value.isoformat(timespec="milliseconds").replace("+00:00", "Z") if hasattr(value, "hour") else value
    )


@pytest.mark.parametrize("kind", JOB_KINDS)
def test_a_table_has_what_the_json_has(kind: JobKind) -> None:
    rows = [scored(kind), FAILED, scored(kind) | {"row": 3}]
    table = table_of([orjson.dumps(row) for row in rows], SCHEMAS[kind])
    assert [without_nulls(as_text(row)) for row in table.to_pylist()] == [without_nulls(row) for row in rows]


@pytest.mark.parametrize("kind", JOB_KINDS)
def test_every_chunk_has_the_same_columns(kind: JobKind) -> None:
    schema = SCHEMAS[kind]
    only_failed = table_of([orjson.dumps(FAILED)], schema)
    only_scored = table_of([orjson.dumps(scored(kind))], schema)
    assert only_failed.schema == only_scored.schema == schema
    assert flat(only_failed).schema == flat(only_scored).schema
    assert flat(schema.empty_table()).column_names == flat(only_failed).column_names


def test_flat_columns_have_dotted_names_and_lists_are_json() -> None:
    rows = [orjson.dumps(row) for row in (scored("failure"), FAILED)]
    good, bad = flat(table_of(rows, SCHEMAS["failure"])).to_pylist()
    expected = VERDICTS["failure"]
    assert good["horizons.7d"] == 0.458067
    assert good["predicted_failure_window.end"] == expected["predicted_failure_window"]["end"]
    for name in ("recommended_actions", "top_contributing_factors"):
        assert orjson.loads(good[name]) == expected[name]
        assert bad[name] is None
    assert bad["error.code"] == "invalid_reading"
    assert orjson.loads(bad["error.errors"]) == FAILED["error"]["errors"]
    (everything,) = flat(table_of([orjson.dumps(scored("all"))], SCHEMAS["all"])).to_pylist()
    assert everything["failure.failure_probability"] == 0.806738
    assert everything["maintenance.rationale"] == "[]"
    assert everything["anomaly.deviation.codes"] == 5.52


def test_what_a_newer_worker_adds_is_left_out() -> None:
    row = scored("failure") | {"news": {"of": 1}, "horizons": {"1d": 0.1, "7d": 0.2, "30d": 0.3, "90d": 0.4}}
    (read,) = table_of([orjson.dumps(row)], SCHEMAS["failure"]).to_pylist()
    assert set(read) == {*scored("failure"), "error"}
    assert read["horizons"] == {"1d": 0.1, "7d": 0.2, "30d": 0.3}


def test_deviations_have_a_column_for_each_feature_of_the_anomaly_model() -> None:
    assert ANOMALY_FEATURES == anomaly.FEATURES


@pytest.mark.owasp(
    "API10", "texts that a spreadsheet would run as formulas can be escaped in CSV; numbers never"
)
def test_only_texts_that_begin_as_a_formula_are_escaped() -> None:
    ids = ["=1+1", "+49*EVZ", "-EVZ", "@SUM(A1)", "EVZ=1", "", None]
    lines = [orjson.dumps({"row": -1, "charger_id": each, "failure_probability": -0.5}) for each in ids]
    detail = {"code": "invalid_reading", "detail": "\t=1", "errors": []}
    lines.append(orjson.dumps({"row": 7, "charger_id": "A", "error": detail}))
    table = flat(table_of(lines, SCHEMAS["failure"]))
    escaped = without_formulas(table)
    assert escaped["charger_id"].to_pylist() == [
        "'=1+1",
        "'+49*EVZ",
        "'-EVZ",
        "'@SUM(A1)",
        "EVZ=1",
        "",
        None,
        "A",
    ]
    assert escaped["error.detail"].to_pylist()[-1] == "'\t=1"
    for name in ("row", "failure_probability", "error.errors", "predicted_failure_date"):
        assert escaped[name].equals(table[name])
