"""Workers that beat are living; those that are silent for six seconds are gone."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from redis import ConnectionError as RedisAway
from redis import Redis

from tasks.monitoring import heartbeats
from tasks.monitoring.heartbeats import SILENT_AFTER_S, WORKERS_KEY, WorkerState
from tasks.storage import redis_clock
from tests.redis_by_hand import HandClock, RedisByHand

ONE = WorkerState("single@a", 1, ["ml.single"], [{"name": "failure", "version": "v"}], None, 0, 0.0)
TWO = replace(ONE, name="batch@b", pid=2, queues=["ml.batch"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    monkeypatch.setattr(heartbeats, "time", clock)
    monkeypatch.setattr(redis_clock, "time", clock)
    monkeypatch.setattr(redis_clock, "_origin", 0.0)
    return clock


@pytest.fixture
def server(clock: HandClock) -> RedisByHand:
    return RedisByHand(clock)


@pytest.fixture
def redis(server: RedisByHand) -> Redis:
    return cast(Redis, server)


def names(redis: Redis) -> list[str]:
    return [worker.name for worker in heartbeats.living(redis)]


def test_a_beat_carries_the_servers_time_and_all_that_the_worker_says(redis: Redis, clock: HandClock) -> None:
    clock.now = 2_000.25
    heartbeats.beat(redis, TWO)
    heartbeats.beat(redis, ONE)
    assert heartbeats.living(redis) == [replace(TWO, seen_at=2_000.25), replace(ONE, seen_at=2_000.25)]


def test_a_worker_that_is_silent_is_gone_and_its_record_with_it(
    redis: Redis, server: RedisByHand, clock: HandClock
) -> None:
    heartbeats.beat(redis, ONE)
    clock.now += 1
    heartbeats.beat(redis, TWO)
    clock.now += SILENT_AFTER_S - 1.5
    assert names(redis) == ["batch@b", "single@a"]
    clock.now += 0.5
    assert names(redis) == ["batch@b"]
    assert list(server.hgetall(WORKERS_KEY)) == [b"batch@b:2"]
    heartbeats.beat(redis, ONE)
    assert names(redis) == ["batch@b", "single@a"]


def test_two_processes_of_one_name_are_two(redis: Redis) -> None:
    for pid in (1, 2):
        heartbeats.beat(redis, replace(ONE, pid=pid))
    assert [worker.pid for worker in heartbeats.living(redis)] == [1, 2]
    heartbeats.sign_off(redis, ONE.name, 1)
    assert [worker.pid for worker in heartbeats.living(redis)] == [2]


@pytest.mark.parametrize("record", [b"{", b"[]", b'{"name": "x"}'])
def test_a_record_that_cannot_be_read_hides_no_other(redis: Redis, record: bytes) -> None:
    redis.hset(WORKERS_KEY, "broken", record)
    heartbeats.beat(redis, ONE)
    assert names(redis) == ["single@a"]


def test_a_reload_ends_when_the_last_worker_has_looked(redis: Redis, clock: HandClock) -> None:
    workers = [ONE, TWO]
    for worker in workers:
        heartbeats.beat(redis, worker)
    slow = iter([False, False, True])

    def look() -> None:
        asked_for = heartbeats.beat(redis, ONE)
        heartbeats.beat(redis, replace(ONE, generation=asked_for))
        if next(slow):
            heartbeats.beat(redis, replace(TWO, generation=asked_for))

    clock.while_asleep = look
    living, settled = heartbeats.reload(redis, timeout_s=5.0)
    assert settled
    assert [worker.generation for worker in living] == [1, 1]
    assert clock.now == pytest.approx(1_000 + 3 * heartbeats.RELOAD_POLL_S)


def test_a_reload_gives_up_at_its_deadline(redis: Redis, clock: HandClock) -> None:
    heartbeats.beat(redis, ONE)
    living, settled = heartbeats.reload(redis, timeout_s=2.0)
    assert ([worker.name for worker in living], settled) == (["single@a"], False)
    assert clock.now == pytest.approx(1_002, abs=1.1 * heartbeats.RELOAD_POLL_S)


def test_a_reload_without_workers_is_not_settled(redis: Redis) -> None:
    assert heartbeats.reload(redis, timeout_s=0.0) == ([], False)


def test_each_reload_asks_for_a_newer_generation(redis: Redis) -> None:
    assert heartbeats.beat(redis, ONE) == 0
    for generation in (1, 2):
        heartbeats.reload(redis, timeout_s=0.0)
        assert heartbeats.beat(redis, ONE) == generation


def test_a_beat_without_redis_raises(redis: Redis, server: RedisByHand) -> None:
    server.down = True
    with pytest.raises(RedisAway):
        heartbeats.beat(redis, ONE)
