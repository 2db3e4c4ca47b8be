"""The fleet store on a real server: what it keeps, in which order of arrival, and for how long."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from errors import UnknownCharger
from readings.reading import Reading, rfc3339
from settings import read_settings
from tasks.storage import fleet
from tasks.storage.fleet import (
    DAY_S,
    MOST_STATES,
    SLACK,
    SLOT_S,
    FleetStore,
    changed_key,
    newest_key,
    past_key,
    rows_key,
)
from tasks.storage.fleet_rows import FIELDS_PER_SLOT, decode_row
from tasks.storage.redis_connection import PinnedConnection
from tests.processes import environment
from tests.services import RunningServer, start_redis

RETENTION_S: Final = 30 * DAY_S
LONGER_S: Final = RETENTION_S * (1 + SLACK)
# The middle of a slot: no test below comes to the end of it.
NOON: Final = int(time.time()) // SLOT_S * SLOT_S - SLOT_S // 2
CALM, DUE, ALARM = (0.1, "WITHIN_30_DAYS"), (0.55, "WITHIN_7_DAYS"), (0.9, "IMMEDIATE")


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_redis() as running:
        yield running


@pytest.fixture(scope="module")
def redis(server: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=False) as client:
        yield client


def fleet_store(url: str, **settings: str) -> FleetStore:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(url, **settings).items():
            patch.setenv(name, value)
        return FleetStore(read_settings(dotenv=None))


@pytest.fixture(scope="module")
def store(server: RunningServer) -> FleetStore:
    return fleet_store(server.url)


def by_risk(store: FleetStore, tenant: str | None, *, offset: int, limit: int) -> tuple[list[bytes], int]:
    """A page of newest verdicts by the rows in Redis, highest 30-day probability first, and their number."""
    redis = store._redis
    since_ms = (time.time() - store._retention_s) * 1000
    members = cast(list[bytes], redis.zrangebyscore(changed_key(tenant), since_ms, "+inf"))
    held = (
        cast(list[bytes | None], redis.hmget(rows_key(tenant), cast(list[str], members))) if members else []
    )
    rows = {
        member: decoded
        for member, row in zip(members, held, strict=True)
        if row is not None and (decoded := decode_row(row)) is not None
    }
    ranked = sorted(rows, key=lambda charger: (rows[charger].p30, charger), reverse=True)
    bodies = [
        redis.hget(newest_key(tenant, each.decode()), "body") for each in ranked[offset : offset + limit]
    ]
    return [cast(bytes, body) for body in bodies if body is not None], len(ranked)


Put = tuple[str | None, dict[str, Any], bytes, Reading]


def put_of(tenant: str | None, charger: str, at: float, state: tuple[float, str], *, model: str = "m") -> Put:
    """A verdict and its reading, `at` in epoch seconds."""
    moment = datetime.fromtimestamp(at, UTC)
    probability, action = state
    verdict = {
        "charger_id": charger,
        "reading_timestamp": rfc3339(moment),
        "failure_probability": probability,
        "horizons": {"1d": 0.0, "7d": probability / 2, "30d": probability},
        "recommended_action": action,
        "in_failure": False,
        "confidence": 0.5,
        "model_version": model,
    }
    return tenant, verdict, orjson.dumps(verdict), Reading(charger, "AVAILABLE", moment)


def put(redis: Redis, store: FleetStore, *puts: Put) -> None:
    PinnedConnection(redis).execute(*store.to_store(puts))


def history(store: FleetStore, tenant: str, charger: str) -> list[dict[str, Any]]:
    try:
        found, total = store.history(tenant, charger, offset=0, limit=1_000)
    except UnknownCharger:
        return []
    assert len(found) == total
    return [orjson.loads(verdict) for verdict in found]


def times(store: FleetStore, tenant: str, charger: str) -> list[float]:
    """Reading times of the history in seconds before noon, newest first."""
    found = history(store, tenant, charger)
    return [NOON - datetime.fromisoformat(each["reading_timestamp"]).timestamp() for each in found]


# Seconds before noon: within a slot, at its edges, in others, and too old to be kept.
AGES_S: Final = (0, 1, 60, 3_600, SLOT_S // 2, SLOT_S, SLOT_S + 60, 3 * SLOT_S, 29 * DAY_S, 32 * DAY_S)
one_put = st.tuples(st.sampled_from("xy"), st.sampled_from(AGES_S), st.sampled_from((CALM, DUE, ALARM)))


@settings(deadline=None, max_examples=60)
@given(data=st.data(), puts=st.lists(one_put, min_size=1, max_size=20, unique_by=lambda each: each[:2]))
def test_the_order_of_arrival_and_repeats_change_nothing(
    redis: Redis, store: FleetStore, data: st.DataObject, puts: list[tuple[str, int, tuple[float, str]]]
) -> None:
    in_order, other = uuid.uuid4().hex, uuid.uuid4().hex
    for charger, age, state in sorted(puts, key=lambda each: -each[1]):
        put(redis, store, put_of(in_order, charger, NOON - age, state))
    repeated = data.draw(st.permutations(puts + data.draw(st.lists(st.sampled_from(puts), max_size=5))))
    size = data.draw(st.integers(1, 30))
    for start in range(0, len(repeated), size):
        some = repeated[start : start + size]
        put(redis, store, *[put_of(other, charger, NOON - age, state) for charger, age, state in some])
    for charger in {each[0] for each in puts}:
        assert history(store, other, charger) == history(store, in_order, charger)
        for name in ("at", "body", "reading"):
            assert redis.hget(newest_key(other, charger), name) == redis.hget(
                newest_key(in_order, charger), name
            )
    assert redis.hgetall(rows_key(other)) == redis.hgetall(rows_key(in_order))
    assert by_risk(store, other, offset=0, limit=9) == by_risk(store, in_order, offset=0, limit=9)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), puts=st.lists(one_put, min_size=1, max_size=30, unique_by=lambda each: each[1]))
def test_the_order_of_arrival_changes_nothing_at_the_bound(
    redis: Redis, store: FleetStore, data: st.DataObject, puts: list[tuple[str, int, tuple[float, str]]]
) -> None:
    in_order, other = uuid.uuid4().hex, uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet, "MOST_STATES", 4)
        for tenant, some in ((in_order, sorted(puts, key=lambda each: -each[1])), (other, puts)):
            for _, age, state in some if tenant == in_order else data.draw(st.permutations(some)):
                put(redis, store, put_of(tenant, "x", NOON - age, state))
    assert history(store, other, "x") == history(store, in_order, "x")
    fields = [int(name) for name in cast(list[bytes], redis.hkeys(past_key(other, "x"))) if name.isdigit()]
    assert sum(field % FIELDS_PER_SLOT > 0 for field in fields) <= 4


def test_the_history_has_each_slot_and_each_change_of_state(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    states = [(0, CALM), (1, CALM), (2, ALARM), (3, ALARM), (4, DUE), (5, DUE), (6, DUE)]
    for minute, state in states:
        put(redis, store, put_of(tenant, "x", NOON - 60 * (10 - minute), state))
    put(redis, store, put_of(tenant, "x", NOON - 2 * SLOT_S, CALM))
    put(redis, store, put_of(tenant, "x", NOON - 2 * SLOT_S - 60, CALM))
    # The slot's newest, the changes to DUE and to ALARM, the newest of the slot before; and the first known.
    assert times(store, tenant, "x") == [240, 360, 480, 2 * SLOT_S, 2 * SLOT_S + 60]
    page, total = store.history(tenant, "x", offset=1, limit=2)
    assert [orjson.loads(each)["recommended_action"] for each in page] == ["WITHIN_7_DAYS", "IMMEDIATE"]
    assert total == 5


def test_a_flapping_charger_stays_compact_and_keeps_every_slot(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    slots = RETENTION_S // SLOT_S
    puts = [
        put_of(tenant, "x", NOON - age, (CALM, DUE, ALARM)[age // 1_800 % 3], model=f"{age % 7:064d}")
        for age in range(0, slots * SLOT_S, 1_800)
    ]
    put(redis, store, *puts)
    past = past_key(tenant, "x")
    fields = [int(name) for name in cast(list[bytes], redis.hkeys(past)) if name.isdigit()]
    newest = [field for field in fields if field % FIELDS_PER_SLOT == 0]
    assert slots - 1 <= len(newest) <= slots + 15  # the oldest may be older than the retention
    assert len(fields) - len(newest) <= MOST_STATES
    assert redis.object("encoding", past) == b"listpack"
    assert max(map(len, cast(list[bytes], redis.hvals(past)))) <= 64
    assert len(times(store, tenant, "x")) >= slots - 1
    backwards = uuid.uuid4().hex
    put(redis, store, *[(backwards, *each[1:]) for each in reversed(puts)])
    assert redis.hgetall(past_key(backwards, "x")) == redis.hgetall(past)


def test_names_of_versions_that_no_verdict_has_are_dropped(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    for number in range(MOST_STATES + 10):
        put(redis, store, put_of(tenant, "x", NOON, CALM, model=f"version-{number}"))
    assert [each["model_version"] for each in history(store, tenant, "x")] == [f"version-{MOST_STATES + 9}"]
    assert redis.hlen(past_key(tenant, "x")) < 20


def test_a_longer_retention_has_longer_slots(server: RunningServer, redis: Redis) -> None:
    tenant = uuid.uuid4().hex
    store = fleet_store(server.url, ML_FLEET_RETENTION_DAYS="365")
    put(redis, store, *[put_of(tenant, "x", NOON - age, CALM) for age in range(0, 364 * DAY_S, DAY_S // 2)])
    assert 59 <= len(times(store, tenant, "x")) <= 62
    assert redis.object("encoding", past_key(tenant, "x")) == b"listpack"


def ttl_of(redis: Redis, tenant: str, charger: str) -> list[int]:
    keys = newest_key(tenant, charger), past_key(tenant, charger), rows_key(tenant), changed_key(tenant)
    return [redis.ttl(key) for key in keys]


# Seconds that keys still had to live when a verdict came.
LEFT_S: Final = (1, RETENTION_S // 2, RETENTION_S - 1, RETENTION_S, RETENTION_S + 2, int(LONGER_S))


@pytest.mark.parametrize("left_s", LEFT_S)
def test_keys_that_are_written_live_for_the_retention(redis: Redis, store: FleetStore, left_s: int) -> None:
    tenant = uuid.uuid4().hex
    put(redis, store, put_of(tenant, "x", NOON - SLOT_S, CALM))
    for key in (newest_key(tenant, "x"), past_key(tenant, "x"), rows_key(tenant), changed_key(tenant)):
        redis.expire(key, left_s)
    put(redis, store, put_of(tenant, "x", NOON, CALM))
    for ttl in ttl_of(redis, tenant, "x"):
        assert RETENTION_S - 2 <= ttl <= LONGER_S + SLOT_S


def test_the_fleet_by_risk_of_the_release_before_gets_an_expiry_once(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    risk = f"ml:tenant:{tenant}:fleet:risk"
    redis.zadd(risk, {"x": 0.5})
    put(redis, store, put_of(tenant, "x", NOON, CALM))
    assert RETENTION_S <= redis.ttl(risk) <= LONGER_S
    redis.expire(risk, 100)
    put(redis, store, put_of(tenant, "y", NOON, CALM))
    assert redis.ttl(risk) <= 100


def test_an_older_reading_does_not_keep_the_newest_verdict_alive(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    put(redis, store, put_of(tenant, "x", NOON, CALM))
    row = redis.hget(rows_key(tenant), "x")
    for key in (newest_key(tenant, "x"), past_key(tenant, "x"), rows_key(tenant), changed_key(tenant)):
        redis.expire(key, 100)
    put(redis, store, put_of(tenant, "x", NOON - SLOT_S, ALARM))
    newest, past, rows, changed = ttl_of(redis, tenant, "x")
    assert max(newest, rows, changed) <= 100
    assert past >= RETENTION_S
    assert redis.hget(rows_key(tenant), "x") == row


def test_a_reading_that_is_too_old_for_the_past_is_still_the_newest_where_there_is_none(
    redis: Redis, store: FleetStore
) -> None:
    tenant = uuid.uuid4().hex
    put(redis, store, put_of(tenant, "x", NOON - 40 * DAY_S, CALM))
    assert redis.exists(newest_key(tenant, "x")) == 1
    assert redis.exists(past_key(tenant, "x")) == 0
    assert len(by_risk(store, tenant, offset=0, limit=2)[0]) == 1


def test_each_write_drops_two_silent_chargers_of_its_tenant(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    put(redis, store, *[put_of(tenant, f"c{number}", NOON, CALM) for number in range(5)])
    old = (time.time() - RETENTION_S - 60) * 1_000
    redis.zadd(changed_key(tenant), {f"c{number}": old + number for number in range(5)})
    assert by_risk(store, tenant, offset=0, limit=9) == ([], 0)  # reading drops nothing
    assert redis.hlen(rows_key(tenant)) == 5
    put(redis, store, put_of(tenant, "new", NOON, CALM))
    assert set(cast(list[bytes], redis.hkeys(rows_key(tenant)))) == {b"c2", b"c3", b"c4", b"new"}
    put(redis, store, put_of(tenant, "new", NOON, CALM), put_of(tenant, "c4", NOON, CALM))
    for members in (redis.hkeys(rows_key(tenant)), redis.zrange(changed_key(tenant), 0, -1)):
        assert set(cast(Sequence[bytes], members)) == {b"c4", b"new"}


def test_the_fleet_is_paged_by_risk(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    puts = [put_of(tenant, f"c{number}", NOON, (number / 10, "WITHIN_7_DAYS")) for number in range(7)]
    put(redis, store, *puts, put_of(tenant, "c6b", NOON, (0.6, "WITHIN_7_DAYS")))
    ids = []
    for offset in range(0, 9, 3):
        bodies, total = by_risk(store, tenant, offset=offset, limit=3)
        assert total == 8
        ids += [orjson.loads(body)["charger_id"] for body in bodies]
    assert ids == ["c6b", "c6", "c5", "c4", "c3", "c2", "c1", "c0"]


def test_the_verdict_before_a_moment_is_of_the_newest_stored_reading(redis: Redis, store: FleetStore) -> None:
    tenant = uuid.uuid4().hex
    for age, state in ((0, CALM), (60, ALARM), (120, ALARM), (SLOT_S, DUE)):
        put(redis, store, put_of(tenant, "x", NOON - age, state))

    def before(age: float, *, span: float = DAY_S) -> float | None:
        found = store.newest_before(tenant, "x", NOON - age, not_before=NOON - age - span)
        if found is None:
            return None
        return NOON - datetime.fromisoformat(found["reading_timestamp"]).timestamp()

    assert before(-1) == 0
    assert before(0) == 120  # the first of its state; the slot's newest is the moment itself
    assert before(120) == SLOT_S
    assert before(SLOT_S) is None
    assert before(120, span=60) is None
