"""Scenes of the fleet, of outcomes, of health and of the API's own description."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.golden.readings import FAULTY, HEALTHY, ORDINARY, request_of, without_time
from tests.golden.scene import Scenes

CHARGERS: Final = "/api/v1/chargers"
OUTCOMES: Final = "/api/v1/outcomes"
# A tenant of its own: its fleet is these three chargers.
FLEET: Final = {"X-Tenant-ID": "fleet"}


def scenes(scenes: Scenes) -> None:
    """The fleet by risk, history, outcomes and their quality, health, description."""
    _fleet(scenes)
    _outcomes(scenes)
    scenes.ask("service", "GET", "/api/v1/service")
    scenes.ask("service_without_key", "GET", "/api/v1/service", key=None)
    for name, path in (("health", "/health"), ("ready", "/health/ready"), ("openapi", "/openapi.json")):
        scenes.ask(name, "GET", path, key=None)
        scenes.ask(f"{name}_head", "HEAD", path, key=None)
        scenes.ask(f"{name}_with_post", "POST", path, key=None)
    for name, path in (
        ("metrics", "/metrics"),
        ("docs", "/docs/"),
        ("docs_without_slash", "/docs"),
        ("docs_script", "/docs/swagger-ui-bundle.js"),
    ):
        scenes.head_only(name, "GET", path)
    scenes.ask("docs_nothing", "GET", "/docs/nothing.js", key=None)


def _fleet(scenes: Scenes) -> None:
    for name, reading in (("a", ORDINARY), ("b", HEALTHY), ("c", FAULTY)):
        body = request_of(without_time(reading, f"FLEET-{name.upper()}"))
        scenes.ask(f"fleet_{name}", "POST", "/api/v1/predictions/failure", json=body, headers=FLEET)
    ask = scenes.ask
    ask("fleet", "GET", CHARGERS, headers=FLEET)
    ask("fleet_first_page", "GET", f"{CHARGERS}?sort=risk&limit=2", headers=FLEET)
    ask("fleet_second_page", "GET", f"{CHARGERS}?limit=2&cursor=2", headers=FLEET)
    ask("fleet_of_nobody", "GET", CHARGERS, headers={"X-Tenant-ID": "nobody"})
    ask("fleet_sort_wrong", "GET", f"{CHARGERS}?sort=name&limit=1001")
    ask("fleet_options", "OPTIONS", CHARGERS)
    ask("history", "GET", f"{CHARGERS}/FLEET-A/history", headers=FLEET)
    ask("history_page_behind", "GET", f"{CHARGERS}/FLEET-A/history?cursor=1&limit=1", headers=FLEET)
    ask("history_of_another_tenant", "GET", f"{CHARGERS}/FLEET-A/history")
    ask("history_cursor_wrong", "GET", f"{CHARGERS}/FLEET-A/history?cursor=x", headers=FLEET)


def _outcomes(scenes: Scenes) -> None:
    now = datetime.now(UTC)

    def post(name: str, charger: str, outcome: Any, moment: Any) -> None:
        body = {"charger_id": charger, "outcome": outcome, "occurred_at": moment, "unknown": 1}
        scenes.ask(name, "POST", OUTCOMES, json=body, headers=FLEET)

    scenes.ask("quality_of_nothing", "GET", f"{OUTCOMES}/quality", headers=FLEET)
    soon = (now + timedelta(minutes=4)).isoformat()
    post("outcome_called", "FLEET-C", "failed", soon)
    post("outcome_not_called", "FLEET-B", "failed", soon)
    post("outcome_false_alarm", "FLEET-A", "false_alarm", soon)
    post("outcome_repaired", "FLEET-C", "repaired", soon)
    post("outcome_unknown_charger", "FLEET-X", "failed", "2024-03-01T08:30:00Z")
    post("outcome_wrong", "a b", "exploded", 7)
    post("outcome_future", "FLEET-A", "failed", "2999-01-01T00:00:00Z")
    scenes.ask("outcome_empty", "POST", OUTCOMES, json={}, headers=FLEET)
    scenes.ask("outcome_array", "POST", OUTCOMES, json=[], headers=FLEET)
    scenes.ask("outcome_text", "POST", OUTCOMES, content=b"x", headers={"Content-Type": "text/plain"})
    scenes.ask("quality", "GET", f"{OUTCOMES}/quality", headers=FLEET)
    scenes.ask("outcomes_with_get", "GET", OUTCOMES)
