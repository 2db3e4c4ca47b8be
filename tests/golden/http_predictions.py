"""Scenes of single predictions, the cache, and everything about who may ask."""

from __future__ import annotations

from typing import Any, Final

from tests.golden import readings
from tests.golden.readings import FAULTY, HEALTHY, LEAST, ORDINARY, WITH_COSTS, request_of
from tests.golden.scene import Scenes
from tests.golden.settings_used import ADMIN_KEY, MAX_BODY_BYTES, PREDICT_KEY
from tests.processes import READ_KEY

PREDICTIONS: Final = "/api/v1/predictions"
FAILURE: Final = f"{PREDICTIONS}/failure"
JSON: Final = {"Content-Type": "application/json"}

WRONG_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "id_missing": {"charger_id": None},
    "id_pattern": {"charger_id": "EVZ 1"},
    "status_missing": {"connector_status": None},
    "status_unknown": {"connector_status": "BURNING"},
    "energy_negative": {"energy_delivered": -1},
    "power_text": {"power": "31"},
    "power_boolean": {"power": True},
    "temperature_out_of_range": {"temperature": 201},
    "codes_no_list": {"error_codes": "HighTemperature"},
    "code_no_text": {"error_codes": ["a", 1]},
    "code_too_long": {"error_codes": ["x" * 129]},
    "codes_too_many": {"error_codes": ["x"] * 129},
    "uptime_list": {"uptime_hours": []},
    "sessions_broken": {"total_sessions": 1.5},
    "maintenance_no_time": {"last_maintenance": "yesterday"},
    "timestamp_no_time": {"timestamp": "2024-13-01"},
    "timestamp_boolean": {"timestamp": True},
    "timestamp_future": {"timestamp": "2999-01-01T00:00:00Z"},
    "metadata_no_object": {"metadata": [1]},
    "two_fields": {"power": -1, "temperature": "hot"},
}


def scenes(scenes: Scenes) -> None:
    """Answers, refusals, cache, roles, methods."""
    _answers(scenes)
    _cache(scenes)
    _bodies(scenes)
    _who(scenes)
    _methods(scenes)


def _answers(scenes: Scenes) -> None:
    for kind in ("failure", "maintenance", "anomaly"):
        for name, reading in (
            ("ordinary", ORDINARY),
            ("healthy", HEALTHY),
            ("faulty", FAULTY),
            ("least", LEAST),
        ):
            scenes.ask(f"{kind}_{name}", "POST", f"{PREDICTIONS}/{kind}", json=request_of(reading))
        scenes.ask(f"{kind}_again", "POST", f"{PREDICTIONS}/{kind}", json=request_of(ORDINARY))
    scenes.ask("maintenance_with_costs", "POST", f"{PREDICTIONS}/maintenance", json=request_of(WITH_COSTS))
    later = {**ORDINARY, "timestamp": "2024-03-03T08:30:00Z", "total_sessions": 5160, "temperature": 60.5}
    scenes.ask("failure_with_history", "POST", FAILURE, json=request_of(later))
    acme = {"X-Tenant-ID": "acme"}
    scenes.ask("failure_of_a_tenant", "POST", FAILURE, json=request_of(ORDINARY), headers=acme)
    inner = {name: value for name, value in HEALTHY.items() if name != "charger_id"}
    scenes.ask("metrics_without_id", "POST", FAILURE, json={"charger_id": "GOLD-2", "metrics": inner})
    scenes.ask("flat_reading", "POST", FAILURE, json=ORDINARY)
    other_json = {"Content-Type": "application/vnd.evzone+json; charset=utf-8"}
    scenes.ask("other_json_type", "POST", FAILURE, json=request_of(LEAST), headers=other_json)
    scenes.ask("not_stored", "POST", f"{FAILURE}?store=false", json=request_of(LEAST))


def _cache(scenes: Scenes) -> None:
    ask, ours = scenes.ask, f"{PREDICTIONS}/GOLD-1"
    ask("cached", "GET", ours)
    ask("cached_of_a_tenant", "GET", ours, headers={"X-Tenant-ID": "acme"})
    ask("cached_of_another_tenant", "GET", ours, headers={"X-Tenant-ID": "other"})
    ask("cached_head", "HEAD", ours)
    ask("cached_with_read_key", "GET", ours, key=READ_KEY)
    ask("cache_deleted", "DELETE", ours)
    ask("cached_none", "GET", ours)
    ask("cache_deleted_again", "DELETE", ours)
    ask("cached_strange_id", "GET", f"{PREDICTIONS}/a%20b")


def _bodies(scenes: Scenes) -> None:
    ask = scenes.ask
    for name, changes in WRONG_FIELDS.items():
        changed = {**ORDINARY, **changes}
        reading = {
            field: value for field, value in changed.items() if field == "metadata" or value is not None
        }
        body = {"charger_id": reading.get("charger_id", "GOLD-1"), "metrics": reading}
        ask(f"wrong_{name}", "POST", FAILURE, json=body)
    ask("wrong_two_chargers", "POST", FAILURE, json={"charger_id": "GOLD-9", "metrics": ORDINARY})
    ask("wrong_envelope_id", "POST", FAILURE, json={"charger_id": 7, "metrics": ORDINARY})
    ask("wrong_no_envelope_id", "POST", FAILURE, json={"metrics": ORDINARY})
    ask("wrong_metrics", "POST", FAILURE, json={"charger_id": "GOLD-1", "metrics": []})
    ask("wrong_empty_object", "POST", FAILURE, json={})
    ask("wrong_array", "POST", FAILURE, json=[ORDINARY])
    for name, content in (
        ("not_json", b"{bad"),
        ("not_utf_8", b'{"charger_id": "\xff"}'),
        ("empty", b""),
        (
            "not_a_number",
            b'{"charger_id":"G","metrics":{"charger_id":"G","connector_status":"CHARGING","power":NaN}}',
        ),
        (
            "infinite",
            b'{"charger_id":"G","metrics":{"charger_id":"G","connector_status":"CHARGING","power":1e400}}',
        ),
    ):
        ask(f"body_{name}", "POST", FAILURE, content=content, headers=JSON)
    ask("body_too_large", "POST", FAILURE, content=b" " * (MAX_BODY_BYTES + 1), headers=JSON)
    ask("body_no_type", "POST", FAILURE, content=b"{}")
    ask("body_text", "POST", FAILURE, content=b"{}", headers={"Content-Type": "text/plain"})
    ask("body_compressed", "POST", FAILURE, content=b"{}", headers={**JSON, "Content-Encoding": "gzip"})


def _who(scenes: Scenes) -> None:
    ask, body = scenes.ask, request_of(LEAST)
    for kind in ("failure", "batch"):
        ask(f"no_key_{kind}", "POST", f"{PREDICTIONS}/{kind}", key=None, json=body)
        ask(f"wrong_key_{kind}", "POST", f"{PREDICTIONS}/{kind}", key="wrong", json=body)
        ask(f"read_key_{kind}", "POST", f"{PREDICTIONS}/{kind}", key=READ_KEY, json=body)
        ask(f"admin_key_{kind}", "POST", f"{PREDICTIONS}/{kind}", key=ADMIN_KEY, json=body)
    ask("predict_key", "POST", FAILURE, key=PREDICT_KEY, json=body)
    ask("predict_key_reads", "GET", f"{PREDICTIONS}/GOLD-4", key=PREDICT_KEY)
    ask("admin_key_reads", "GET", f"{PREDICTIONS}/GOLD-4", key=ADMIN_KEY)
    ask("no_key_unknown_path", "GET", "/api/v1/nothing", key=None)
    ask("tenant_wrong", "POST", FAILURE, json=body, headers={"X-Tenant-ID": "a b"})
    ask("tenant_empty", "GET", f"{PREDICTIONS}/GOLD-4", headers={"X-Tenant-ID": ""})
    ask("tenant_too_long", "GET", f"{PREDICTIONS}/GOLD-4", headers={"X-Tenant-ID": "a" * 65})
    ask("request_id_longest", "GET", "/health/nothing", headers={"X-Request-ID": "r" * 128})
    # Both of these get an id of the service's own.
    ask("request_id_too_long", "GET", "/health/nothing", headers={"X-Request-ID": "r" * 129})
    ask("request_id_blank", "POST", FAILURE, json={}, headers={"X-Request-ID": "a b"})


def _methods(scenes: Scenes) -> None:
    ask = scenes.ask
    for path in ("failure", "maintenance", "anomaly", "batch"):
        # A charger may be called so: GET and DELETE are those of the cache.
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
            ask(f"{path}_with_{method.lower()}", method, f"{PREDICTIONS}/{path}")
    ask("charger_with_post", "POST", f"{PREDICTIONS}/GOLD-1", json=request_of(readings.LEAST))
    ask("charger_with_options", "OPTIONS", f"{PREDICTIONS}/GOLD-1")
    ask("nothing_there", "GET", "/nothing")
    ask("slash", "GET", "/")
    ask("two_slashes", "GET", "/api/v1//models")
    ask("slash_at_the_end", "GET", "/api/v1/models/")
