"""Outcomes reported back: accepted, tied to the verdict before them, and turned into live quality."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.readings import new_charger_id, request

OUTCOMES = "/api/v1/outcomes"
NOW = datetime.now(UTC)


def report(
    client: httpx.Client, charger: str, outcome: str, tenant: str, at: datetime = NOW
) -> dict[str, Any]:
    body = {"charger_id": charger, "outcome": outcome, "occurred_at": at.isoformat()}
    answer = client.post(OUTCOMES, json=body, headers={"X-Tenant-ID": tenant})
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


def predict(client: httpx.Client, tenant: str, hours_ago: float, **fields: Any) -> str:
    charger = new_charger_id()
    body = request(charger, timestamp=(NOW - timedelta(hours=hours_ago)).isoformat(), **fields)
    headers = {"X-Tenant-ID": tenant}
    assert client.post("/api/v1/predictions/failure", json=body, headers=headers).status_code == 200
    return charger


def test_outcomes_turn_into_precision_recall_and_lead_time(client: httpx.Client) -> None:
    tenant = "outcomes"
    alerted, alarmed = (predict(client, tenant, 12, connector_status="FAULTY") for _ in range(2))
    missed = predict(client, tenant, 12)
    for charger, outcome, expected in (
        (alerted, "failed", True),
        (missed, "failed", False),
        (alarmed, "false_alarm", True),
    ):
        accepted = report(client, charger, outcome, tenant)
        assert (accepted["alerted"], accepted["called"]) == (expected, expected)  # its name of release 1
    unknown = report(client, new_charger_id(), "repaired", tenant)
    assert (unknown["verdict_known"], unknown["alerted"], unknown["called"]) == (False, False, False)
    report(client, alerted, "failed", tenant)  # the same again counts once

    quality = client.get(f"{OUTCOMES}/quality", headers={"X-Tenant-ID": tenant}).json()
    assert quality["outcomes"] == {"failed": 2, "repaired": 1, "false_alarm": 1}
    assert (quality["precision"], quality["recall"], quality["without_verdict"]) == (0.5, 0.5, 1)
    assert quality["median_lead_hours"] == pytest.approx(12, abs=0.01)
    assert sum(bin["count"] for bin in quality["calibration"]) == 3


def test_the_same_outcome_counts_once_though_a_newer_verdict_has_come(client: httpx.Client) -> None:
    tenant = "again"
    charger = predict(client, tenant, 12)
    first = report(client, charger, "failed", tenant)
    late = request(charger, timestamp=(NOW - timedelta(hours=1)).isoformat(), connector_status="FAULTY")
    answer = client.post("/api/v1/predictions/failure", json=late, headers={"X-Tenant-ID": tenant})
    assert answer.status_code == 200
    assert report(client, charger, "failed", tenant) == first
    report(client, charger, "false_alarm", tenant)  # another outcome of the same moment
    quality = client.get(f"{OUTCOMES}/quality", headers={"X-Tenant-ID": tenant}).json()
    assert quality["outcomes"] == {"failed": 1, "repaired": 0, "false_alarm": 1}


def test_only_a_verdict_from_before_counts(client: httpx.Client) -> None:
    charger = predict(client, "hindsight", 1, connector_status="FAULTY")
    accepted = report(client, charger, "failed", "hindsight", NOW - timedelta(hours=2))
    assert (accepted["verdict_known"], accepted["alerted"]) == (False, False)


def test_nothing_reported_is_nothing_claimed(client: httpx.Client) -> None:
    quality = client.get(f"{OUTCOMES}/quality", headers={"X-Tenant-ID": "silent"}).json()
    assert (quality["precision"], quality["recall"], quality["calibration"]) == (None, None, [])


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"outcome": "exploded"}, "/outcome"),
        ({"occurred_at": "soon"}, "/occurred_at"),
        ({"occurred_at": "2999-01-01T00:00:00Z"}, "/occurred_at"),
        ({"charger_id": "a b"}, "/charger_id"),
        ({"charger_id": None}, "/charger_id"),
    ],
)
def test_a_wrong_outcome_is_named(client: httpx.Client, change: dict[str, Any], pointer: str) -> None:
    body = {"charger_id": "A", "outcome": "failed", "occurred_at": NOW.isoformat()} | change
    answer = client.post(OUTCOMES, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
