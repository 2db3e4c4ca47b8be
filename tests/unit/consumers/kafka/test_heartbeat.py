"""A consumer's record in Redis, and what it learns there, once a beat; the beats are the test's."""

from __future__ import annotations

import logging
import os
from typing import Any, cast

import orjson
import pytest
from redis import Redis

from consumers.kafka import heartbeat as module
from consumers.kafka.heartbeat import FORGOTTEN_AFTER_S, HUNG_AFTER_S, Heartbeat, Status
from tasks.messaging.names import Queues
from tasks.monitoring import heartbeats
from tasks.monitoring.heartbeats import SILENT_AFTER_S, WORKERS_KEY
from tasks.monitoring.service_health import CONSUMERS_KEY, consumer_records
from tests.processes import settings_for
from tests.redis_by_hand import HandClock, RedisByHand


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def redis(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> RedisByHand:
    server = RedisByHand(clock)
    monkeypatch.setattr(module, "connect", lambda _: server)
    return server


@pytest.fixture
def heartbeat(redis: RedisByHand) -> Heartbeat:
    return Heartbeat(settings_for("redis://127.0.0.1:1/0"))


def records(redis: RedisByHand) -> list[dict[str, Any]]:
    return [orjson.loads(record) for record in redis.hgetall(CONSUMERS_KEY).values()]


def add_worker(redis: RedisByHand, clock: HandClock, queue: str, **changes: Any) -> None:
    record = {
        "name": f"{queue}@host",
        "pid": 1,
        "queues": [queue],
        "models": [{"name": "failure"}],
        "problem": None,
        "generation": 0,
        "seen_at": clock.now,
    }
    redis.hset(WORKERS_KEY, f"{queue}@host:1", orjson.dumps(record | changes))


def reason_after_a_beat(heartbeat: Heartbeat) -> str | None:
    heartbeat.beat()
    return heartbeat.pause_reason


def test_a_beat_writes_the_newest_status(heartbeat: Heartbeat, redis: RedisByHand, clock: HandClock) -> None:
    heartbeat.set_status(Status("running", lag=7, partitions=3))
    clock.now += 5.5
    heartbeat.beat()
    (record,) = records(redis)
    assert record["pid"] == os.getpid()
    assert record["seen_at"] == 1_005.5
    assert {name: record[name] for name in ("role", "state", "reason", "lag", "partitions")} == {
        "role": "consumer",
        "state": "running",
        "reason": "",
        "lag": 7,
        "partitions": 3,
    }


@pytest.mark.parametrize("record", [b"no JSON", b"[]", b'{"seen_at": null}'])
def test_a_record_that_cannot_be_read_stops_neither_consumers_nor_health(
    record: bytes, heartbeat: Heartbeat, redis: RedisByHand, clock: HandClock
) -> None:
    redis.hset(CONSUMERS_KEY, "other@host:1", record)
    add_worker(redis, clock, Queues.STREAM)
    assert reason_after_a_beat(heartbeat) is None
    assert len(consumer_records(cast(Redis, redis))) == 1


def test_a_consumer_that_ends_takes_its_record_along(heartbeat: Heartbeat, redis: RedisByHand) -> None:
    heartbeat.beat()
    heartbeat.stop()
    assert records(redis) == []


def test_a_consumer_that_ends_without_redis_ends_all_the_same(
    heartbeat: Heartbeat, redis: RedisByHand
) -> None:
    redis.down = True
    heartbeat.stop()


def test_the_record_of_a_consumer_that_is_silent_is_removed_by_another(
    heartbeat: Heartbeat, redis: RedisByHand, clock: HandClock
) -> None:
    redis.hset(CONSUMERS_KEY, "gone:1", orjson.dumps({"seen_at": clock.now}))
    clock.now += FORGOTTEN_AFTER_S
    heartbeat.beat()
    assert len(records(redis)) == 2
    clock.now += 0.5
    heartbeat.beat()
    assert [record["pid"] for record in records(redis)] == [os.getpid()]


def test_there_is_no_reason_to_pause_while_a_worker_of_the_stream_lives(
    heartbeat: Heartbeat, redis: RedisByHand, clock: HandClock
) -> None:
    assert heartbeat.pause_reason is not None  # before the first beat
    add_worker(redis, clock, "ml.single")
    assert reason_after_a_beat(heartbeat) == "no worker reads the queue ml.stream"
    add_worker(redis, clock, "ml.stream")
    assert reason_after_a_beat(heartbeat) is None
    clock.now += SILENT_AFTER_S
    assert reason_after_a_beat(heartbeat) == "no worker reads the queue ml.stream"


def test_workers_without_models_are_a_reason_to_pause_and_theirs_is_named(
    heartbeat: Heartbeat, redis: RedisByHand, clock: HandClock
) -> None:
    add_worker(redis, clock, "ml.stream", models=[], problem="sha256 differs")
    assert reason_after_a_beat(heartbeat) == "no worker holds models (sha256 differs)"


def test_an_outage_of_redis_is_a_reason_to_pause_until_the_next_beat(
    heartbeat: Heartbeat, redis: RedisByHand, clock: HandClock
) -> None:
    add_worker(redis, clock, "ml.stream")
    redis.down = True
    assert reason_after_a_beat(heartbeat) == "Redis cannot be reached"
    redis.down = False
    assert reason_after_a_beat(heartbeat) is None


def test_an_unexpected_error_ends_no_beat(
    heartbeat: Heartbeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_pause_reason", lambda _: 1 / 0)
    heartbeat.beat()
    assert "heartbeat failed" in caplog.text


def test_a_loop_that_makes_no_turn_is_hung(heartbeat: Heartbeat, clock: HandClock) -> None:
    clock.now += HUNG_AFTER_S
    assert not heartbeat.is_hung()
    heartbeat.record_loop(clock.now)
    clock.now += HUNG_AFTER_S
    assert not heartbeat.is_hung()
    clock.now += 0.5
    assert heartbeat.is_hung()
    heartbeat.set_status(Status("running"))
    assert not heartbeat.is_hung()


def test_a_status_is_logged_when_it_changes_and_then_no_more(
    heartbeat: Heartbeat, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for lag in range(3):
        heartbeat.set_status(Status("paused", "no worker", lag=lag))
    heartbeat.set_status(Status("running"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "paused: no worker"),
        ("INFO", "running"),
    ]
    assert heartbeat.status == Status("running")


def test_a_record_outlives_several_missed_beats() -> None:
    assert SILENT_AFTER_S > 3 * heartbeats.BEAT_S
    assert FORGOTTEN_AFTER_S > SILENT_AFTER_S
