"""The writer of alert records: what waits, what is dropped, and what an erasure finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, cast

import pytest
from redis import Redis

import metrics
from consumers.kafka.offsets import Partition
from consumers.predictions import alert_recorder
from consumers.predictions.alert_recorder import AlertRecorder, SweepTimes
from consumers.predictions.alerts import AlertKey, OpenAlert
from tasks.messaging.task_publisher import TaskPublisher
from tasks.notify.cloud_events import TYPES
from tasks.notify.outbox import Outbox
from tasks.notify.webhook_store import WebhookStore
from tasks.storage.alert_records import AlertChange
from tasks.storage.redis_connection import OUTAGES, connect
from tests.processes import settings_for
from tests.services import RunningServer

FIRST, SECOND = Partition("in", 0), Partition("in", 1)
AT: Final = "2026-11-20T08:30:00.000Z"


@pytest.fixture
def redis(lone_redis: RunningServer) -> Iterator[Redis]:
    client = connect(lone_redis.url)
    yield client
    client.close()


@pytest.fixture
def recorder(lone_redis: RunningServer) -> AlertRecorder:
    return AlertRecorder(settings_for(lone_redis.url))  # not started: a test makes its steps


def change(number: int, *, closed: bool = False) -> AlertChange:
    closed_at = AT if closed else None
    return AlertChange(
        None, f"{number:024x}", 0, "failure", f"C-{number}", AT, "in:0:0", None, closed_at=closed_at
    )


def held(number: int) -> tuple[AlertKey, OpenAlert]:
    return AlertKey("failure", None, f"C-{number}"), OpenAlert(f"{number:024x}", AT, "in:0:0")


def run(recorder: AlertRecorder) -> None:
    while recorder.step():
        pass


def states(redis: Redis) -> dict[str, str]:
    keys = sorted(cast(list[bytes], redis.keys("ml:alerts:record:*")))
    return {key.decode()[-2:]: cast(bytes, redis.hget(key.decode(), "state")).decode() for key in keys}


def test_changes_are_written_in_their_order(recorder: AlertRecorder, redis: Redis) -> None:
    recorder.add([change(1), change(2), change(1, closed=True)])
    run(recorder)
    assert states(redis) == {"01": "closed", "02": "open"}


def test_changes_wait_while_redis_is_away(
    recorder: AlertRecorder, redis: Redis, lone_redis: RunningServer
) -> None:
    recorder.add([change(1)])
    lone_redis.kill()
    with pytest.raises(OUTAGES):
        recorder.step()
    recorder.add([change(2)])
    lone_redis.restart()
    run(recorder)
    assert states(redis) == {"01": "open", "02": "open"}


def test_changes_beyond_the_limit_are_counted_and_repaired(
    recorder: AlertRecorder, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_recorder, "CHANGES_KEPT", 2)
    dropped = metrics.ALERT_RECORDS_DROPPED.labels(reason="queue")
    before = dropped._value.get()
    recorder.add([change(1), change(2), change(3)])
    assert dropped._value.get() == before + 1
    recorder.sweep(FIRST, [held(1), held(2), held(3)])
    run(recorder)
    assert states(redis) == {"01": "open", "02": "open", "03": "open"}


def test_a_sweep_closes_what_is_not_open_any_more_in_its_partition_alone(
    recorder: AlertRecorder, redis: Redis
) -> None:
    recorder.add([change(number) for number in (1, 2, 3)])
    run(recorder)
    recorder.sweep(SECOND, [])
    run(recorder)
    assert set(states(redis).values()) == {"open"}
    recorder.sweep(FIRST, [held(2)])
    assert recorder.is_sweeping(FIRST)
    run(recorder)
    assert not recorder.is_sweeping(FIRST)
    assert states(redis) == {"01": "closed", "02": "open", "03": "closed"}
    # A consumer that holds the alert after all opens its record again; a seen closing is final.
    recorder.add([change(3, closed=True)])
    recorder.sweep(FIRST, [held(1), held(2), held(3)])
    run(recorder)
    assert states(redis) == {"01": "open", "02": "open", "03": "closed"}


def test_alerts_that_open_during_a_sweep_stay_open(recorder: AlertRecorder, redis: Redis) -> None:
    recorder.sweep(FIRST, [held(1)])
    assert recorder.step()
    recorder.add([change(2)])
    run(recorder)
    assert states(redis) == {"01": "open", "02": "open"}


def test_nothing_of_an_erased_charger_is_written(recorder: AlertRecorder, redis: Redis) -> None:
    recorder.add([change(1), change(2)])
    recorder.sweep(FIRST, [held(1), held(2)])
    recorder.erase(lambda tenant, charger_id: charger_id == "C-1")
    run(recorder)
    assert states(redis) == {"02": "open"}


def test_a_revoked_partition_is_not_swept(recorder: AlertRecorder, redis: Redis) -> None:
    recorder.sweep(FIRST, [held(1)])
    recorder.sweep(SECOND, [held(2)])
    recorder.drop([FIRST])
    run(recorder)
    assert states(redis) == {"02": "open"}


def test_partitions_are_swept_at_once_and_then_regularly() -> None:
    times = SweepTimes()
    assert times.due([FIRST, SECOND], 0.0) == [FIRST, SECOND]
    times.note(FIRST, 0.0, 10)
    times.note(SECOND, 0.0, 100_000)
    assert times.due([FIRST, SECOND], 59.0) == []
    assert times.due([FIRST, SECOND], 60.0) == [FIRST]
    assert times.due([FIRST, SECOND], 100.0) == [FIRST, SECOND]
    times.due([FIRST], 100.0)
    assert times.due([SECOND], 60.0) == [SECOND]  # it was away


def test_each_opening_and_closing_is_announced_once(
    recorder: AlertRecorder, redis: Redis, lone_redis: RunningServer
) -> None:
    settings = settings_for(lone_redis.url)
    outbox = Outbox(redis, TaskPublisher(settings))
    WebhookStore(redis).create("https://hooks.example/", TYPES, None)
    recorder.add([change(1), change(2)])
    run(recorder)
    recorder.add([change(1), change(1, closed=True)])  # a reply was lost
    recorder.sweep(FIRST, [held(2)])
    run(recorder)
    taken = outbox.take()
    assert taken is not None
    found = [json.loads(event.body) for event in taken.events]
    assert sorted((each["type"], each["subject"][-1]) for each in found) == [
        ("alert.closed", "1"),
        ("alert.opened", "1"),
        ("alert.opened", "2"),
    ]
    assert {each["time"] for each in found} == {AT}
    assert found[0]["data"]["alert"] == "failure"
