"""A real consumer opens and closes alerts, and people find them at the API. Lost records come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tasks.storage.alert_records import AlertChange, AlertRecords
from tests.integration.stream_bench import ALERTS, StreamBench, stream_bench
from tests.processes import KEY, Web, environment, settings_for, wait_until
from tests.readings import metrics
from tests.services import start_kafka, start_redis

FAULTY = {"connector_status": "Faulted", "error_codes": ["GroundFailure"]}
FORGETFUL = ["-m", "tests.integration.forgetful_consumer"]


class Alarms:
    """The stream, and the API on the same Redis."""

    def __init__(self, bench: StreamBench, web: Web) -> None:
        self.bench = bench
        self.client = httpx.Client(base_url=web.url, headers={"X-API-Key": KEY}, timeout=30)

    def listed(self, **query: str) -> list[dict[str, Any]]:
        answer = self.client.get("/api/v1/alerts", params=query)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def wait_for(self, charger: str, state: str, timeout_s: float = 30) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            alerts = self.listed(charger_id=charger, state="all", kind="failure")
            return alerts[0] if alerts and alerts[0]["state"] == state else None

        alert = wait_until(found, what=f"an alert that is {state}", timeout_s=timeout_s, log=self.bench.logs)
        assert alert is not None
        return alert


@pytest.fixture(scope="module")
def alarms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alarms]:
    folder = tmp_path_factory.mktemp("alarms")
    with (
        start_redis() as redis,
        start_kafka() as kafka,
        stream_bench(redis, kafka, folder) as bench,
        Web(environment(redis.url)) as web,
    ):
        bench.start_worker()
        bench.start_consumer()
        bench.wait_for_state("running")
        yield Alarms(bench, web)


def test_an_alert_of_the_stream_is_listed_until_it_closes(alarms: Alarms) -> None:
    (opened_by,) = alarms.bench.produce(metrics("AL-1", **FAULTY))
    alert = alarms.wait_for("AL-1", "open")
    assert alert["opened_by"] == opened_by
    assert alert["opening"]["in_failure"] is True
    assert alert["closing"] is None
    alarms.bench.produce(*(metrics("AL-1") for _ in range(3)))
    closed = alarms.wait_for("AL-1", "closed")
    assert closed["alert_id"] == alert["alert_id"]
    assert closed["closed_at"] is not None
    assert closed["closing"]["in_failure"] is False
    assert "AL-1" not in {each["charger_id"] for each in alarms.listed(kind="failure")}


def test_a_consumer_killed_between_commit_and_record_loses_no_alert(alarms: Alarms) -> None:
    """Opened and closed alerts alike: the next consumer has the open ones in its state."""
    bench = alarms.bench
    bench.produce(metrics("AL-2", **FAULTY))
    alarms.wait_for("AL-2", "open")
    assert bench.processes[-1].end(20) == 0
    bench.produce(*(metrics("AL-2") for _ in range(3)), metrics("AL-3", **FAULTY))
    doomed = bench.start("doomed", [*FORGETFUL, "dies"])
    wait_until(doomed.has_ended, what="the death", timeout_s=60, log=bench.logs)
    bench.read(until=3, topics=(ALERTS,))
    assert not alarms.listed(charger_id="AL-3", state="all")
    assert alarms.wait_for("AL-2", "open")["closing"] is None

    bench.start("consumer", FORGETFUL)
    alert = alarms.wait_for("AL-3", "open", timeout_s=60)
    assert alert["opening"]["in_failure"] is True
    lapsed = alarms.wait_for("AL-2", "closed")
    assert lapsed["closed_at"] is not None
    assert lapsed["closing"] is None  # the verdict was lost with the process


def test_records_come_back_after_redis_was_emptied(alarms: Alarms) -> None:
    bench = alarms.bench
    (opened_by,) = bench.produce(metrics("AL-4", **FAULTY), key=b"4")
    before = alarms.wait_for("AL-4", "open")
    bench.redis.delete(*bench.redis.keys("ml:alerts:*"))
    after = alarms.wait_for("AL-4", "open")
    assert after == before
    assert after["opened_by"] == opened_by
    assert {alert["charger_id"] for alert in alarms.listed(kind="failure")} >= {"AL-3", "AL-4"}


def test_an_alert_that_is_not_open_any_more_closes_in_its_record(alarms: Alarms) -> None:
    """A record of an alert that no consumer holds, as after a lost write."""
    left_over = AlertChange(None, "0" * 24, 0, "failure", "AL-5", "2026-01-01T00:00:00.000Z", "in:0:0", None)
    redis = alarms.bench.redis
    for command in AlertRecords(settings_for(alarms.bench.redis_server.url), redis).to_store([left_over]):
        redis.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped there
    assert alarms.wait_for("AL-5", "closed")["alert_id"] == "0" * 24
    assert alarms.wait_for("AL-4", "open")["state"] == "open"


def test_what_people_noted_stays_while_the_alert_is_swept_and_closes(alarms: Alarms) -> None:
    alert_id = alarms.wait_for("AL-4", "open")["alert_id"]
    path = f"/api/v1/alerts/{alert_id}"
    alarms.client.post(f"{path}/acknowledge", json={"note": "on my way"})
    alarms.bench.produce(*(metrics("AL-4") for _ in range(3)), key=b"4")
    assert alarms.wait_for("AL-4", "closed")["acknowledged"]["note"] == "on my way"
    story = [event["event"] for event in alarms.client.get(path).json()["story"]]
    assert story == ["opened", "acknowledged", "closed"]


def test_the_stream_goes_on_while_redis_refuses_records(alarms: Alarms) -> None:
    """A key of another type stands in the way of the records of a partition; alerts still reach Kafka."""
    bench = alarms.bench
    before = len(bench.event_ids(ALERTS))
    held = [f"ml:alerts:held:{number}" for number in range(6)]
    bench.redis.delete(*held)
    for key in held:
        bench.redis.set(key, "in the way")
    bench.produce(metrics("AL-6", **FAULTY), key=b"6")
    bench.read(until=before + 1, topics=(ALERTS,))
    assert bench.wait_for_state("running")["reason"] == ""
    bench.redis.delete(*held)
    alarms.wait_for("AL-6", "open")
