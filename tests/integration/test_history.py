"""The recent past of a charger: bounded, in event-time order, and what a verdict is made of."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis import Redis

from models.features.columns import HistoryEntries
from models.features.history_features import SLOT_S
from readings.reading import Reading
from tasks.storage.reading_history import SLOTS, RecentHistory
from tasks.storage.redis_connection import PinnedConnection
from tests.readings import metrics, new_charger_id, reading, request
from tests.services import RunningServer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAILURE = "/api/v1/predictions/failure"


@pytest.fixture
def store(redis: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(redis.url) as client:
        yield client


def a_reading(charger_id: str, at: datetime, **fields: float) -> Reading:
    return reading(charger_id, at, error_codes=("A",), last_maintenance=NOON, **fields)


def by_time(entries: HistoryEntries) -> list[tuple[Any, ...]]:
    return sorted(zip(*(getattr(entries, name) for name in HistoryEntries.__slots__), strict=True))


def entries(readings: Iterable[Reading]) -> HistoryEntries:
    """As JSON gives them back: lists where a reading has tuples."""
    made = HistoryEntries.of(readings)
    return replace(made, codes=[None if codes is None else list(codes) for codes in made.codes])


def add(store: Redis, history: RecentHistory, *readings: Reading, tenant: str | None = None) -> None:
    PinnedConnection(store).execute(*history.to_store([(tenant, each) for each in readings]))


def test_the_first_reading_of_each_slot_is_kept_whatever_the_order_of_arrival(store: Redis) -> None:
    history, charger = RecentHistory(PinnedConnection(store)), new_charger_id()
    readings = [a_reading(charger, NOON + timedelta(hours=h), power=float(h)) for h in range(72)]
    shuffled = random.Random(1).sample(readings, len(readings))
    add(store, history, *shuffled, *shuffled)
    (past,) = history.of([a_reading(charger, NOON)], [None])
    first_of_slot = {r.timestamp.timestamp() // SLOT_S: r for r in reversed(readings)}
    assert by_time(past) == by_time(entries(first_of_slot.values()))


@pytest.mark.owasp("API4", "the history of a charger is bounded")
def test_it_is_bounded_and_forgets_the_oldest(store: Redis) -> None:
    history, charger = RecentHistory(PinnedConnection(store)), new_charger_id()
    readings = [a_reading(charger, NOON + timedelta(hours=12 * n)) for n in range(SLOTS + 20)]
    add(store, history, *readings)
    (past,) = history.of([readings[-1]], [None])
    assert sorted(past.time_s) == [r.timestamp.timestamp() for r in readings[-SLOTS:]]


@pytest.mark.owasp("API1", "a tenant's readings are no history of another's chargers")
def test_tenants_and_chargers_have_pasts_of_their_own(store: Redis) -> None:
    history, one, other = RecentHistory(PinnedConnection(store)), new_charger_id(), new_charger_id()
    add(store, history, a_reading(one, NOON), tenant="north")
    asked = [a_reading(one, NOON), a_reading(one, NOON), a_reading(other, NOON)]
    assert [len(past) for past in history.of(asked, ["north", None, None])] == [1, 0, 0]


def test_a_later_reading_of_a_batch_sees_the_earlier_one(store: Redis) -> None:
    history, charger = RecentHistory(PinnedConnection(store)), new_charger_id()
    early, late = a_reading(charger, NOON), a_reading(charger, NOON + timedelta(days=1))
    later = a_reading(charger, NOON + timedelta(days=1, hours=1))
    batch = [later, late, early]
    (past, *_) = history.of(batch, [None] * 3, among_themselves=True)
    assert by_time(past) == by_time(HistoryEntries.of([early, late]))
    assert [len(past) for past in history.of(batch, [None] * 3)] == [0, 0, 0]


def day(n: int, **fields: object) -> dict[str, object]:
    return {"timestamp": (NOON + timedelta(days=n)).isoformat(), **fields}


def test_a_bad_past_raises_the_probability_and_a_repeat_gets_the_same_answer(client: httpx.Client) -> None:
    calm, troubled = new_charger_id(), new_charger_id()
    for n in range(8):
        for charger, codes in ((calm, []), (troubled, ["PowerSwitchFailure"])):
            body = request(charger, **day(n, error_codes=codes))
            assert client.post(FAILURE, json=body).status_code == 200
    now = {charger: request(charger, **day(9, error_codes=[])) for charger in (calm, troubled)}
    verdicts = {charger: client.post(FAILURE, json=body).json() for charger, body in now.items()}
    assert verdicts[troubled]["failure_probability"] > verdicts[calm]["failure_probability"]
    for charger, body in now.items():
        client.delete(f"/api/v1/predictions/{charger}")
        again = client.post(FAILURE, json=body).json()
        assert again["cached"] is False
        assert again["horizons"] == verdicts[charger]["horizons"]


def test_a_batch_reads_the_past_and_adds_nothing_to_it(client: httpx.Client, store: Redis) -> None:
    charger = new_charger_id()
    client.post(FAILURE, json=request(charger, **day(0)))
    before = store.hlen(f"ml:readings:{charger}")
    wait = {"Prefer": "wait=10"}
    rows = [metrics(charger, **day(n)) for n in range(1, 5)]
    answer = client.post("/api/v1/predictions/batch", json={"chargers": rows}, headers=wait)
    assert answer.status_code == 200
    assert (before, store.hlen(f"ml:readings:{charger}")) == (1, 1)
    # "failure" of the same reading, alone, now differs only by the past that both see
    alone = client.post(FAILURE, json={"charger_id": charger, "metrics": rows[0]}).json()
    assert answer.json()["predictions"][0]["horizons"] == alone["horizons"]
