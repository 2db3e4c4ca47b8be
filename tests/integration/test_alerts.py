"""Alerts at the API: who may read and change them, what is refused, and what a page holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import httpx
import pytest
from redis import Redis

from tasks.storage.alert_records import AlertChange, AlertKind, AlertRecords
from tests.http_jobs import assert_problem
from tests.processes import KEY, READ_KEY, Web, environment, settings_for
from tests.recorded_alerts import closed, opened
from tests.services import RunningServer, start_redis

ALERTS: Final = "/api/v1/alerts"
HOSTILE: Final = "<script>alert(1)</script> '; DROP TABLE x; -- {{7*7}} é\U0001f50c"


class Desk:
    """The API, and the consumer's side of its records."""

    def __init__(self, web: Web, server: RunningServer) -> None:
        self.url = web.url
        self.redis = Redis.from_url(server.url)
        self.records = AlertRecords(settings_for(server.url), self.redis)

    def client(self, tenant: str | None = None, key: str = KEY) -> httpx.Client:
        headers = {"X-API-Key": key} | ({} if tenant is None else {"X-Tenant-ID": tenant})
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def write(self, *changes: AlertChange) -> list[Any]:
        with self.redis.pipeline(transaction=True) as pipeline:
            for command in self.records.to_store(changes):
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped there
            return pipeline.execute()

    def open(self, charger: str, tenant: str | None = None, at: int = 0, kind: AlertKind = "failure") -> str:
        change = opened(charger, tenant, at, kind)
        self.write(change)
        return change.alert_id

    def close(self, charger: str, tenant: str | None = None, at: int = 0) -> str:
        change = opened(charger, tenant, at)
        self.write(closed(change))
        return change.alert_id


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def web(server: RunningServer) -> Iterator[Web]:
    with Web(environment(server.url)) as web:
        yield web


@pytest.fixture
def desk(web: Web, server: RunningServer) -> Iterator[Desk]:
    desk = Desk(web, server)
    desk.redis.flushdb()
    yield desk
    desk.redis.close()


def test_an_alert_has_its_verdicts_and_its_story(desk: Desk) -> None:
    alert_id = desk.open("EVZ-1", "acme")
    client = desk.client("acme")
    (listed,) = client.get(ALERTS).json()["items"]
    alert = client.get(f"{ALERTS}/{alert_id}").json()
    story = alert.pop("story")
    assert alert == listed
    assert [(event["event"], event["by"]) for event in story] == [("opened", None)]
    assert alert == {
        "alert_id": alert_id, "tenant_id": "acme", "kind": "failure", "charger_id": "EVZ-1", "state": "open",
        "opened_at": "2026-09-21T14:13:20.000Z", "opened_by": "in:0:0", "closed_at": None,
        "opening": {
            "reading_timestamp": "2026-11-20T08:30:00.000Z", "model_version": "v1",
            "failure_probability": 0.91, "in_failure": False, "recommended_action": "IMMEDIATE",
            "top_factor": "temperature 81 °C",
        },
        "closing": None, "acknowledged": None, "assigned": None, "muted": None,
    }  # fmt: skip
    desk.close("EVZ-1", "acme")
    after = client.get(f"{ALERTS}/{alert_id}").json()
    assert (after["state"], after["closing"]["failure_probability"]) == ("closed", 0.91)
    assert [event["event"] for event in after["story"]] == ["opened", "closed"]
    assert client.get(ALERTS).json() == {"items": [], "next": None, "total": 0}


@pytest.mark.owasp("API3", "text of callers comes back as text in JSON, and only the named parts change")
def test_what_people_do_is_noted_once(desk: Desk) -> None:
    client, path = desk.client(), f"{ALERTS}/{desk.open('EVZ-1')}"
    for _ in range(2):  # a repeat changes nothing
        answer = client.post(f"{path}/acknowledge", json={"note": HOSTILE, "state": "closed"})
        assert answer.status_code == 200, answer.text
        client.post(f"{path}/assign", json={"to": HOSTILE[:128]})
        until = (datetime.now(UTC) + timedelta(days=90) - timedelta(minutes=1)).replace(microsecond=0)
        client.post(f"{path}/mute", json={"until": until.isoformat(), "reason": HOSTILE, "hours": 1})
    alert = client.get(path).json()
    assert alert["state"] == "open"
    assert {**alert["acknowledged"], "at": 0} == {"by": "ML_SERVICE_API_KEY", "note": HOSTILE, "at": 0}
    assert alert["assigned"]["to"] == HOSTILE[:128]
    assert (alert["muted"]["reason"], datetime.fromisoformat(alert["muted"]["until"])) == (HOSTILE, until)
    events = [(event["event"], event["by"]) for event in alert["story"]]
    by = "ML_SERVICE_API_KEY"
    assert events == [("opened", None), ("acknowledged", by), ("assigned", by), ("muted", by)]
    client.post(f"{path}/acknowledge", json={})
    client.post(f"{path}/assign", json={"to": None})
    for _ in range(2):
        assert client.delete(f"{path}/mute").json()["muted"] is None
    alert = client.get(path).json()
    assert (alert["acknowledged"]["note"], alert["assigned"]) == (None, None)
    assert [event["event"] for event in alert["story"][4:]] == ["acknowledged", "unassigned", "unmuted"]


def test_the_story_is_bounded(desk: Desk) -> None:
    client, path = desk.client(), f"{ALERTS}/{desk.open('EVZ-1')}"
    for number in range(60):
        client.post(f"{path}/assign", json={"to": f"team {number}"})
    story = client.get(path).json()["story"]
    assert [event["to"] for event in story] == [f"team {number}" for number in range(10, 60)]


def test_a_closed_alert_is_acknowledged_but_not_muted(desk: Desk) -> None:
    client = desk.client()
    path = f"{ALERTS}/{desk.close('EVZ-1')}"
    assert client.post(f"{path}/acknowledge", json={"note": "seen"}).json()["state"] == "closed"
    refused = client.post(f"{path}/mute", json={"hours": 1, "reason": "work"})
    assert_problem(refused, 409, "conflict")


def test_a_muting_ends_by_itself(desk: Desk) -> None:
    client, alert_id = desk.client(), desk.open("EVZ-1")
    client.post(f"{ALERTS}/{alert_id}/mute", json={"hours": 2, "reason": "work"})
    assert len(client.get(ALERTS, params={"muted": "true"}).json()["items"]) == 1
    record = f"ml:alerts:record:{alert_id}"
    before = cast(bytes, desk.redis.hget(record, "muted")).decode()
    until = client.get(f"{ALERTS}/{alert_id}").json()["muted"]["until"]
    assert timedelta(hours=1.9) < datetime.fromisoformat(until) - datetime.now(UTC) < timedelta(hours=2)
    desk.redis.hset(record, "muted", before.replace(until, "2026-01-01T00:00:00.000Z"))
    assert client.get(f"{ALERTS}/{alert_id}").json()["muted"] is None
    assert client.get(ALERTS, params={"muted": "true"}).json()["items"] == []


TOO_FAR: Final = (datetime.now(UTC) + timedelta(days=91)).isoformat()
WRONG: Final[list[tuple[str, object, str]]] = [
    ("acknowledge", {"note": "a\nb"}, "/note"),
    ("acknowledge", {"note": "a\x00b"}, "/note"),
    ("acknowledge", {"note": "‮gnol"}, "/note"),
    ("acknowledge", {"note": "x" * 501}, "/note"),
    ("acknowledge", {"note": ""}, "/note"),
    ("acknowledge", {"note": 7}, "/note"),
    ("acknowledge", [], ""),
    ("assign", {}, "/to"),
    ("assign", {"to": "x" * 129}, "/to"),
    ("assign", {"to": "a\x7fb"}, "/to"),
    ("mute", {"reason": "x"}, ""),
    ("mute", {"hours": 1}, "/reason"),
    ("mute", {"hours": 0, "reason": "x"}, "/hours"),
    ("mute", {"hours": 2161, "reason": "x"}, "/hours"),
    ("mute", {"hours": "1", "reason": "x"}, "/hours"),
    ("mute", {"hours": 10**400, "reason": "x"}, "/hours"),
    ("mute", {"until": TOO_FAR, "reason": "x"}, "/until"),
    ("mute", {"until": "2026-01-01T00:00:00Z", "reason": "x"}, "/until"),
    ("mute", {"until": None, "reason": "x"}, "/until"),
    ("mute", {"hours": 1, "reason": "x" * 501}, "/reason"),
]


@pytest.mark.parametrize(("action", "body", "pointer"), WRONG)
def test_a_wrong_body_changes_nothing(desk: Desk, action: str, body: object, pointer: str) -> None:
    client, path = desk.client(), f"{ALERTS}/{desk.open('EVZ-1')}"
    before = client.get(path).json()
    problem = assert_problem(client.post(f"{path}/{action}", json=body), 422, "invalid_parameter")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert client.get(path).json() == before


@pytest.mark.owasp("API1", "an alert of another tenant is not found, whatever the call")
def test_another_tenants_alert_is_not_found(desk: Desk) -> None:
    alert_id = desk.open("EVZ-1", "acme")
    for tenant in (None, "other"):
        client = desk.client(tenant)
        for answer in (
            client.get(f"{ALERTS}/{alert_id}"),
            client.post(f"{ALERTS}/{alert_id}/acknowledge", json={}),
            client.post(f"{ALERTS}/{alert_id}/assign", json={"to": "x"}),
            client.post(f"{ALERTS}/{alert_id}/mute", json={"hours": 1, "reason": "x"}),
            client.delete(f"{ALERTS}/{alert_id}/mute"),
        ):
            assert_problem(answer, 404, "unknown_alert")
        assert client.get(ALERTS, params={"state": "all"}).json()["items"] == []
    assert len(desk.client("acme").get(f"{ALERTS}/{alert_id}").json()["story"]) == 1
    assert desk.redis.keys("*other*") == []


@pytest.mark.owasp("API5", "changing an alert needs the role predict; reading it any role")
def test_reading_needs_any_role_and_changing_the_role_predict(desk: Desk) -> None:
    alert_id = desk.open("EVZ-1")
    reader = desk.client(key=READ_KEY)
    assert reader.get(ALERTS).json()["total"] == 1
    assert reader.get(f"{ALERTS}/{alert_id}").status_code == 200
    for answer in (
        reader.post(f"{ALERTS}/{alert_id}/acknowledge", json={}),
        reader.post(f"{ALERTS}/{alert_id}/assign", json={"to": "x"}),
        reader.post(f"{ALERTS}/{alert_id}/mute", json={"hours": 1, "reason": "x"}),
        reader.delete(f"{ALERTS}/{alert_id}/mute"),
    ):
        assert_problem(answer, 403, "forbidden")
    assert_problem(httpx.get(f"{desk.url}{ALERTS}"), 401, "unauthorized")


def test_the_audit_log_has_each_change_once(desk: Desk) -> None:
    alert_id = desk.open("EVZ-1", "acme")
    client = desk.client("acme")
    for _ in range(2):
        client.post(f"{ALERTS}/{alert_id}/acknowledge", json={})
    client.post(f"{ALERTS}/{'0' * 24}/acknowledge", json={})
    entries = desk.client().get("/api/v1/audit").json()["items"]
    assert [(each["action"], each["tenant"], each["status"]) for each in entries] == [
        (f"POST {ALERTS}/{alert_id}/acknowledge", "acme", 200)
    ]


def test_pages_are_complete_while_alerts_open_and_close(desk: Desk) -> None:
    """Many alerts have the same time. Those between two pages that close are not skipped over."""
    ids = [desk.open(f"EVZ-{number}", at=number // 4) for number in range(20)]
    newest_first = [
        each["alert_id"] for each in desk.client().get(ALERTS, params={"limit": 1000}).json()["items"]
    ]
    assert sorted(newest_first) == sorted(ids)
    assert [ids.index(each) // 4 for each in newest_first] == [4] * 4 + [3] * 4 + [2] * 4 + [1] * 4 + [0] * 4
    client, found, query = desk.client(), [], {"limit": "3"}
    while True:
        answer = client.get(ALERTS, params=query)
        page = answer.json()
        found += [each["alert_id"] for each in page["items"]]
        if page["next"] is None:
            break
        assert answer.links["next"]["url"].endswith(f"cursor={page['next']}")
        query["cursor"] = page["next"]
        last = page["items"][-1]
        desk.close(last["charger_id"], at=ids.index(last["alert_id"]) // 4)  # the cursor's own alert
        desk.open(f"NEW-{len(found)}", at=100)
    assert found == newest_first
    closed_ids = [each["alert_id"] for each in client.get(ALERTS, params={"state": "closed"}).json()["items"]]
    assert len(closed_ids) == 6
    everything = client.get(ALERTS, params={"state": "all"}).json()
    assert everything["total"] == 26


def test_filters_select(desk: Desk) -> None:
    first, second = desk.open("EVZ-1"), desk.open("EVZ-1", at=1, kind="anomaly")
    third, fourth = desk.open("EVZ-2", at=2), desk.close("EVZ-2", at=3)
    client = desk.client()
    client.post(f"{ALERTS}/{first}/acknowledge", json={})
    client.post(f"{ALERTS}/{second}/assign", json={"to": "ops"})
    client.post(f"{ALERTS}/{third}/mute", json={"hours": 1, "reason": "x"})
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({}, [third, second, first]),
        ({"state": "closed"}, [fourth]),
        ({"state": "all"}, [fourth, third, second, first]),
        ({"kind": "anomaly"}, [second]),
        ({"charger_id": "EVZ-2"}, [third]),
        ({"charger_id": "EVZ-2", "state": "all"}, [fourth, third]),
        ({"charger_id": "EVZ-9"}, []),
        ({"acknowledged": "true"}, [first]),
        ({"acknowledged": "false"}, [third, second]),
        ({"assigned_to": "ops"}, [second]),
        ({"assigned_to": "op"}, []),
        ({"muted": "true"}, [third]),
        ({"muted": "false", "kind": "failure"}, [first]),
    ]
    for query, expected in cases:
        page = client.get(ALERTS, params=query).json()
        assert [each["alert_id"] for each in page["items"]] == expected, query
        assert page["total"] == (len(expected) if set(query) <= {"state"} else None)


@pytest.mark.parametrize(
    "query", ["state=half", "kind=x", "cursor=5", "cursor=1-x", "limit=0", "muted=7", "charger_id=a%20b"]
)
def test_a_wrong_query_is_refused(desk: Desk, query: str) -> None:
    assert_problem(desk.client().get(f"{ALERTS}?{query}"), 422, "invalid_parameter")


@pytest.mark.owasp("API4", "a filter that selects nothing reads 2,000 alerts a request, of 100,000")
def test_a_filter_that_selects_nothing_ends_early(desk: Desk) -> None:
    changes = [opened(f"EVZ-{number}", at=number) for number in range(4_100)]
    for start in range(0, len(changes), 500):
        desk.write(*changes[start : start + 500])
    client, query, requests = desk.client(), {"assigned_to": "nobody"}, 0
    while True:
        page = client.get(ALERTS, params=query).json()
        requests += 1
        assert page["items"] == []
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert requests == 3
    commands = desk.redis.info("commandstats")
    read = sum(commands[name]["calls"] for name in commands if name == "cmdstat_hmget")
    assert read >= 4_100


def test_expired_records_leave_the_lists(desk: Desk) -> None:
    gone, kept = desk.open("EVZ-1"), desk.open("EVZ-1", at=1)
    desk.redis.delete(f"ml:alerts:record:{gone}")
    page = desk.client().get(ALERTS).json()
    assert [each["alert_id"] for each in page["items"]] == [kept]
    assert page["total"] == 1
