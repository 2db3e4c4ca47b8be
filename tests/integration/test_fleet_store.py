"""The fleet store against a plain model of it: what it keeps, and for how long."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from settings import read_settings
from tasks.storage.fleet import DAY_S, SLACK, FleetStore
from tasks.storage.redis_connection import PinnedConnection
from tests.processes import environment
from tests.services import RunningServer, start_redis

MOST: Final = 3
RETENTION_S: Final = DAY_S
LONGER_S: Final = RETENTION_S * (1 + SLACK)
NOW: Final = int(time.time())
PROBABILITIES: Final = (0.1, 0.5, 0.9)
# Reading times: some the same, some too old to be kept.
AGES_S: Final = (0, 1, 60, 3600, DAY_S // 2, DAY_S + 60, 2 * DAY_S)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_redis() as running:
        yield running


@pytest.fixture(scope="module")
def redis(server: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=False) as client:
        yield client


@pytest.fixture(scope="module")
def store(server: RunningServer) -> FleetStore:
    with pytest.MonkeyPatch.context() as patch:
        limits = {"ML_FLEET_RETENTION_DAYS": "1", "ML_FLEET_HISTORY_ENTRIES": str(MOST)}
        for name, value in environment(server.url, **limits).items():
            patch.setenv(name, value)
        return FleetStore(read_settings(dotenv=None))


def verdict(charger: str, age_s: int, probability: float) -> dict[str, Any]:
    return {
        "charger_id": charger,
        "reading_timestamp": datetime.fromtimestamp(NOW - age_s, UTC).isoformat(),
        "failure_probability": probability,
        "horizons": {},
        "recommended_action": "IMMEDIATE",
        "in_failure": False,
        "confidence": 0.5,
        "model_version": "m",
    }


def put(redis: Redis, store: FleetStore, *puts: tuple[str | None, dict[str, Any]]) -> None:
    PinnedConnection(redis).execute(
        *store.to_store([(tenant, one, orjson.dumps(one)) for tenant, one in puts])
    )


def keys(tenant: str, charger: str) -> tuple[str, str]:
    return f"ml:tenant:{tenant}:fleet:verdict:{charger}", f"ml:tenant:{tenant}:fleet:history:{charger}"


@dataclass
class Charger:
    """What the store should have of one."""

    newest: dict[str, Any] | None = None
    past: set[tuple[int, float]] = field(default_factory=set)

    def take(self, age_s: int, one: dict[str, Any]) -> None:
        if self.newest is None or self.newest["reading_timestamp"] <= one["reading_timestamp"]:
            self.newest = one
        if age_s < RETENTION_S:
            self.past.add((-age_s, one["failure_probability"]))
            self.past = set(sorted(self.past)[-MOST:])


one_put = st.tuples(
    st.sampled_from(("a", "b")),
    st.sampled_from("xy"),
    st.sampled_from(AGES_S),
    st.sampled_from(PROBABILITIES),
)


@settings(deadline=None, max_examples=60)
@given(tasks=st.lists(st.lists(one_put, min_size=1, max_size=6), max_size=6))
def test_it_keeps_what_a_plain_model_keeps(
    redis: Redis, store: FleetStore, tasks: list[list[tuple[str, str, int, float]]]
) -> None:
    word = uuid.uuid4().hex
    fleet: dict[tuple[str, str], Charger] = {}
    for task in tasks:
        puts = [(f"{tenant}{word}", age_s, verdict(charger, age_s, p)) for tenant, charger, age_s, p in task]
        put(redis, store, *[(tenant, one) for tenant, _, one in puts])
        for tenant, age_s, one in puts:
            fleet.setdefault((tenant, one["charger_id"]), Charger()).take(age_s, one)
    for tenant in (f"a{word}", f"b{word}"):
        there = [charger for (its, _), charger in fleet.items() if its == tenant]
        newest = [charger.newest for charger in there if charger.newest is not None]
        bodies, total = store.by_risk(tenant, offset=0, limit=10)
        read = [orjson.loads(body) for body in bodies]
        assert total == len(newest)
        assert sorted(map(repr, read)) == sorted(map(repr, newest))
        risks = [one["failure_probability"] for one in read]
        assert risks == sorted(risks, reverse=True)
    for (tenant, charger_id), charger in fleet.items():
        kept = redis.zrange(keys(tenant, charger_id)[1], 0, -1, withscores=True)
        entries = cast(list[tuple[bytes, float]], kept)
        assert {
            (at - NOW, orjson.loads(entry)["failure_probability"]) for entry, at in entries
        } == charger.past
        assert all(
            LONGER_S >= ttl >= RETENTION_S for ttl in map(redis.ttl, keys(tenant, charger_id)) if ttl != -2
        )


# Seconds that keys still had to live when a verdict came: as a former release left them, after a long
# silence, just prolonged, and what no release of ours would leave.
LEFT_S: Final = (1, RETENTION_S // 2, RETENTION_S - 1, RETENTION_S, RETENTION_S + 2, int(LONGER_S), None)


@pytest.mark.parametrize("left_s", LEFT_S)
def test_what_is_written_lives_as_long_as_it_has_to(
    redis: Redis, store: FleetStore, left_s: int | None
) -> None:
    tenant = uuid.uuid4().hex
    put(redis, store, (tenant, verdict("x", 60, 0.1)))
    newest, past = keys(tenant, "x")
    redis.zadd(past, {b"{}": NOW - RETENTION_S - 10})  # has become too old since
    for key in (newest, past):
        _ = redis.persist(key) if left_s is None else redis.expire(key, left_s)
    put(redis, store, (tenant, verdict("x", 0, 0.2)))
    for key in (newest, past):
        assert RETENTION_S <= redis.ttl(key) <= LONGER_S
    if left_s is not None:
        assert (redis.zscore(past, b"{}") is None) == (left_s <= RETENTION_S)


def test_an_older_reading_does_not_keep_the_newest_verdict_alive(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    put(redis, store, (tenant, verdict("x", 0, 0.1)))
    newest, past = keys(tenant, "x")
    for key in (newest, past):
        redis.expire(key, 100)
    put(redis, store, (tenant, verdict("x", 60, 0.2)))
    assert redis.ttl(newest) <= 100
    assert redis.ttl(past) >= RETENTION_S
    assert redis.zcard(past) == 2


def test_a_reading_that_is_too_old_for_the_past_is_still_the_newest_where_there_is_none(
    redis: Redis, store: FleetStore
) -> None:
    tenant = uuid.uuid4().hex
    put(redis, store, (tenant, verdict("x", 2 * DAY_S, 0.1)))
    newest, past = keys(tenant, "x")
    assert redis.exists(newest) == 1
    assert redis.exists(past) == 0
    assert redis.ttl(newest) >= RETENTION_S


def test_chargers_that_have_expired_leave_no_gap_between_two_pages(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    chargers = [f"c{number}" for number in range(8)]
    put(redis, store, *[(tenant, verdict(name, 0, 0.9 - n / 10)) for n, name in enumerate(chargers)])
    for name in ("c0", "c2", "c3"):
        redis.delete(keys(tenant, name)[0])
    first, total = store.by_risk(tenant, offset=0, limit=2)
    second, _ = store.by_risk(tenant, offset=2, limit=2)
    assert [orjson.loads(body)["charger_id"] for body in (*first, *second)] == ["c1", "c4", "c5", "c6"]
    assert total == 5
