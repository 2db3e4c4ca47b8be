"""Outcomes reported back: accepted, tied to the verdict before them, and turned into live quality."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import orjson
import pytest
from redis import Redis

from tests.http_jobs import assert_problem
from tests.processes import READ_KEY
from tests.readings import new_charger_id, request
from tests.services import RunningServer

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
    unknown = report(client, predict(client, tenant, 1), "repaired", tenant, NOW - timedelta(hours=2))
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


def test_a_charger_that_nothing_is_known_of_is_refused(client: httpx.Client) -> None:
    charger = predict(client, "known", 1)
    body = {"charger_id": charger, "outcome": "failed", "occurred_at": NOW.isoformat()}
    for tenant in ("another", None):
        headers = {} if tenant is None else {"X-Tenant-ID": tenant}
        problem = assert_problem(client.post(OUTCOMES, json=body, headers=headers), 404, "unknown_charger")
        assert "misspelt" in problem["detail"]
    assert (
        client.get(f"{OUTCOMES}/quality", headers={"X-Tenant-ID": "another"}).json()["without_verdict"] == 0
    )


@pytest.mark.parametrize("known_by", ["maintenance", "anomaly"])
def test_a_charger_is_known_by_any_verdict_or_reading(client: httpx.Client, known_by: str) -> None:
    charger = new_charger_id()
    headers = {"X-Tenant-ID": "known-by"}
    answer = client.post(f"/api/v1/predictions/{known_by}", json=request(charger), headers=headers)
    assert answer.status_code == 200
    assert report(client, charger, "repaired", "known-by")["charger_id"] == charger


def test_a_charger_is_known_by_an_outcome_after_its_verdicts_have_expired(
    client: httpx.Client, redis: RunningServer
) -> None:
    tenant = "expired"
    charger = predict(client, tenant, 1)
    report(client, charger, "failed", tenant)
    with Redis.from_url(redis.url) as server:
        for key in list(server.scan_iter(f"ml:tenant:{tenant}:*{charger}")):
            server.delete(key)
    later = NOW + timedelta(minutes=1)
    assert report(client, charger, "repaired", tenant, later)["verdict_known"] is False


def listed(client: httpx.Client, tenant: str, **query: str | int) -> dict[str, Any]:
    answer = client.get(OUTCOMES, params=query, headers={"X-Tenant-ID": tenant})
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def test_outcomes_are_listed_by_charger_and_page(client: httpx.Client) -> None:
    tenant = "listed"
    one, two = (predict(client, tenant, 12) for _ in range(2))
    reports = [
        report(client, one, "failed", tenant, NOW - timedelta(hours=3)),
        report(client, two, "failed", tenant, NOW - timedelta(hours=2)),
        report(client, one, "repaired", tenant, NOW - timedelta(hours=1)),
    ]
    ids = [each["outcome_id"] for each in reversed(reports)]
    assert len(set(ids)) == 3
    page = listed(client, tenant, limit=2)
    assert [each["outcome_id"] for each in page["items"]] == ids[:2]
    assert (page["next"], page["total"]) == ("2", 3)
    assert [each["outcome_id"] for each in listed(client, tenant, cursor=2)["items"]] == ids[2:]
    of_one = listed(client, tenant, charger_id=one)
    assert ([each["outcome"] for each in of_one["items"]], of_one["total"]) == (["repaired", "failed"], 2)
    assert listed(client, "nobody")["items"] == []
    first = reports[0]
    assert page["items"][1] == {name: value for name, value in reports[1].items() if name != "called"}
    at_location = client.get(f"{OUTCOMES}/{first['outcome_id']}", headers={"X-Tenant-ID": tenant})
    assert at_location.json() == {name: value for name, value in first.items() if name != "called"}


def test_the_answer_says_where_the_outcome_is(client: httpx.Client) -> None:
    headers = {"X-Tenant-ID": "location"}
    body = {"charger_id": predict(client, "location", 1), "outcome": "failed", "occurred_at": NOW.isoformat()}
    answer = client.post(OUTCOMES, json=body, headers=headers)
    assert answer.headers["Location"] == f"{OUTCOMES}/{answer.json()['outcome_id']}"
    assert client.get(answer.headers["Location"], headers=headers).status_code == 200


def correct(client: httpx.Client, outcome_id: str, tenant: str, **change: Any) -> dict[str, Any]:
    answer = client.put(f"{OUTCOMES}/{outcome_id}", json=change, headers={"X-Tenant-ID": tenant})
    assert answer.status_code == 200, answer.text
    corrected: dict[str, Any] = answer.json()
    return corrected


def test_the_live_quality_follows_corrections_and_deletions(client: httpx.Client) -> None:
    tenant = "corrected"
    headers = {"X-Tenant-ID": tenant}
    alerted = predict(client, tenant, 12, connector_status="FAULTY")
    reported = report(client, alerted, "false_alarm", tenant)
    outcome_id = reported["outcome_id"]

    def quality() -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"{OUTCOMES}/quality", headers=headers).json()
        return found

    assert (quality()["precision"], quality()["recall"]) == (0.0, None)
    corrected = correct(client, outcome_id, tenant, outcome="failed")
    assert (corrected["outcome_id"], corrected["outcome"]) == (outcome_id, "failed")
    assert (quality()["precision"], quality()["recall"]) == (1.0, 1.0)
    assert quality()["calibration"][0]["failed_share"] == 1.0

    # Before the reading there was no verdict.
    earlier = correct(client, outcome_id, tenant, occurred_at=(NOW - timedelta(hours=13)).isoformat())
    assert (earlier["verdict_known"], earlier["alerted"]) == (False, False)
    assert (quality()["without_verdict"], quality()["precision"]) == (1, None)
    again = correct(client, outcome_id, tenant, occurred_at=NOW.isoformat(), outcome="failed")
    assert (again["outcome_id"], again["alerted"]) == (outcome_id, True)
    assert quality()["outcomes"] == {"failed": 1, "repaired": 0, "false_alarm": 0}

    assert client.delete(f"{OUTCOMES}/{outcome_id}", headers=headers).status_code == 204
    assert quality()["outcomes"] == {"failed": 0, "repaired": 0, "false_alarm": 0}
    assert listed(client, tenant)["items"] == []
    for method in ("GET", "PUT", "DELETE"):
        answer = client.request(
            method, f"{OUTCOMES}/{outcome_id}", json={"outcome": "failed"}, headers=headers
        )
        assert_problem(answer, 404, "unknown_outcome")


def test_the_same_report_after_a_correction_does_not_bring_the_mistake_back(client: httpx.Client) -> None:
    tenant = "repeated"
    charger = predict(client, tenant, 12)
    first = report(client, charger, "failed", tenant)
    moved = (NOW - timedelta(hours=2)).isoformat()
    corrected = correct(client, first["outcome_id"], tenant, outcome="repaired", occurred_at=moved)
    repeated = report(client, charger, "failed", tenant)
    assert {name: value for name, value in repeated.items() if name != "called"} == corrected
    # The report that the correction is equal to.
    same = report(client, charger, "repaired", tenant, NOW - timedelta(hours=2))
    assert same["outcome_id"] == first["outcome_id"]
    assert listed(client, tenant)["total"] == 1


def test_a_correction_that_repeats_another_outcome_is_a_conflict(client: httpx.Client) -> None:
    tenant = "twins"
    charger = predict(client, tenant, 12)
    report(client, charger, "failed", tenant)
    mistaken = report(client, charger, "repaired", tenant)
    path = f"{OUTCOMES}/{mistaken['outcome_id']}"
    answer = client.put(path, json={"outcome": "failed"}, headers={"X-Tenant-ID": tenant})
    assert_problem(answer, 409, "conflict")
    assert listed(client, tenant)["total"] == 2


@pytest.mark.owasp("API1", "outcomes of another tenant cannot be read, corrected or deleted by their id")
def test_an_outcome_of_another_tenant_is_unknown(client: httpx.Client) -> None:
    owner = {"X-Tenant-ID": "owner"}
    path = f"{OUTCOMES}/{report(client, predict(client, 'owner', 12), 'failed', 'owner')['outcome_id']}"
    for headers in ({"X-Tenant-ID": "stranger"}, {}):
        for method in ("GET", "PUT", "DELETE"):
            answer = client.request(method, path, json={"outcome": "repaired"}, headers=headers)
            assert_problem(answer, 404, "unknown_outcome")
    assert client.get(path, headers=owner).json()["outcome"] == "failed"


@pytest.mark.owasp("API5", "a key that may only read corrects and deletes no outcome")
def test_a_key_that_reads_changes_no_outcome(client: httpx.Client) -> None:
    path = f"{OUTCOMES}/{report(client, predict(client, 'reader', 12), 'failed', 'reader')['outcome_id']}"
    headers = {"X-Tenant-ID": "reader", "X-API-Key": READ_KEY}
    assert client.get(path, headers=headers).status_code == 200
    for method in ("PUT", "DELETE"):
        answer = client.request(method, path, json={"outcome": "repaired"}, headers=headers)
        assert_problem(answer, 403, "forbidden")


def test_outcomes_of_the_release_before_can_be_read_and_changed(
    client: httpx.Client, redis: RunningServer
) -> None:
    tenant = "older"
    record = {"charger_id": "OLD-1", "outcome": "failed", "occurred_at": 1_709_281_800.5, "verdict": None}
    with Redis.from_url(redis.url) as server:
        server.zadd(f"ml:tenant:{tenant}:outcomes", {orjson.dumps(record): 1_709_281_800.5})
    (found,) = listed(client, tenant)["items"]
    assert (found["charger_id"], found["occurred_at"]) == ("OLD-1", "2024-03-01T08:30:00.500Z")
    at = datetime(2024, 3, 1, 8, 30, 0, 500_000, UTC)
    assert report(client, "OLD-1", "failed", tenant, at)["outcome_id"] == found["outcome_id"]
    assert correct(client, found["outcome_id"], tenant, outcome="repaired")["outcome"] == "repaired"
    answer = client.delete(f"{OUTCOMES}/{found['outcome_id']}", headers={"X-Tenant-ID": tenant})
    assert answer.status_code == 204
    with Redis.from_url(redis.url) as server:
        assert list(server.scan_iter(f"ml:tenant:{tenant}:*")) == []


def test_a_new_outcome_is_stored_as_the_release_before_stores_it(
    client: httpx.Client, redis: RunningServer
) -> None:
    tenant = "newer"
    report(client, predict(client, tenant, 1), "failed", tenant)
    with Redis.from_url(redis.url) as server:
        (member,) = cast(list[bytes], server.zrange(f"ml:tenant:{tenant}:outcomes", 0, -1))
    assert orjson.loads(member).keys() == {"charger_id", "outcome", "occurred_at", "verdict"}


def test_an_id_that_is_none_is_unknown(client: httpx.Client) -> None:
    for outcome_id in ("7ff8000000000000" + "0" * 16, "7ff0000000000000" + "0" * 16, "x" * 32, "0" * 32):
        assert_problem(client.delete(f"{OUTCOMES}/{outcome_id}"), 404, "unknown_outcome")
    assert_problem(client.delete(f"{OUTCOMES}/short"), 404, "not_found")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({}, ""),
        ({"occured_at": NOW.isoformat()}, ""),
        ({"outcome": "exploded"}, "/outcome"),
        ({"outcome": None}, "/outcome"),
        ({"occurred_at": "2999-01-01T00:00:00Z"}, "/occurred_at"),
    ],
)
def test_a_wrong_correction_is_named(client: httpx.Client, change: dict[str, Any], pointer: str) -> None:
    answer = client.put(f"{OUTCOMES}/{'0' * 32}", json=change)
    assert_problem(answer, 422, "invalid_parameter")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


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
