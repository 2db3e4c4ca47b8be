"""The scripts of cached verdicts and recent readings against plain models."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, Final, cast

import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from models.features.history_features import SLOT_S
from readings.reading import Kind, epoch_rfc3339
from tasks.storage.reading_history import _ADD, EXPIRY_S, RecentHistory, readings_key
from tasks.storage.redis_connection import for_each
from tasks.storage.verdict_cache import VerdictCache, cache_key
from tests.integration.lua_models import START, TENANTS, ComparedWithRedis, check
from tests.processes import settings_for
from tests.services import RunningServer

pytestmark = pytest.mark.timeout(600)  # a counterexample is made shorter for minutes

CHARGERS: Final = ("EVZ-1", "%d*:\n\x00\"'é}]")
TTL_S: Final[dict[Kind, int]] = {"failure": 3_600, "anomaly": 300}
subjects = st.tuples(st.sampled_from(TENANTS), st.sampled_from(CHARGERS))
# Times of readings, in seconds from the start of the test. Some are the same.
ages = st.sampled_from([-90_000, -60, -0.001, 0, 0.001, 60, 90_000])
OUR_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT[^\"]*Z")


def verdict_of(charger: str, at: str, free_text: str) -> dict[str, Any]:
    return {
        "charger_id": charger,
        "explanation": free_text,
        "reading_timestamp": at,
        "model_version": "v1",
        "fingerprint": "0123456789abcdef",
    }


# Text of callers that looks like the fields that the script searches for.
TEXTS: Final = ("", '"reading_timestamp":"2999-01-01T00:00:00.000Z","fingerprint":"ff"}', "\\", "é" * 200)
# Values of other clients.
STRANGE: Final = (
    b"",
    b"\x00\xff[",
    b'{"reading_timestamp":"2999-01-01T00:00:00.000Z"}',
    b'{"reading_timestamp":"yesterday, or later","fingerprint":"ff"}',
    b'{"reading_timestamp" : "2999-01-01T00:00:00.000Z", "fingerprint": "ff", "of": [1]}',
    b'{"reading_timestamp" : "2999-01-01T00:00:00.000Z", "fingerprint": 7}',
    b'[{"reading_timestamp":"2999-01-01T00:00:00.000Z","fingerprint":"ff"}]',
    b'"2999-01-01T00:00:00.000Z"',
)


class Cache(ComparedWithRedis):
    """The newest reading wins, in whatever order verdicts come, and whatever another client has written."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = VerdictCache(
            settings_for(
                self.server_url,
                ML_CACHE_TTL_FAILURE=str(TTL_S["failure"]),
                ML_CACHE_TTL_ANOMALY=str(TTL_S["anomaly"]),
            )
        )

    @rule(
        puts=st.lists(
            st.tuples(st.sampled_from(list(TTL_S)), subjects, ages, st.sampled_from(TEXTS)),
            min_size=1,
            max_size=4,
        )
    )
    def put(self, puts: list[tuple[Kind, tuple[str | None, str], float, str]]) -> None:
        stored = []
        for kind, (tenant, charger), age, text in puts:
            verdict = verdict_of(charger, epoch_rfc3339(START + age) or "", text)
            body = orjson.dumps(verdict)
            stored.append((kind, tenant, verdict, body))
            key = cache_key(kind, charger, tenant)
            if self.newest_in(key) <= verdict["reading_timestamp"]:
                self.model[key] = body
                self.expire(key, TTL_S[kind])
        self.redis.run(self.cache.to_store(stored))

    def newest_in(self, key: str) -> str:
        """The reading time of the verdict that a key holds, or the empty text."""
        try:
            held = orjson.loads(self.model.get(key, b""))
            at, fingerprint = held["reading_timestamp"], held["fingerprint"]
        except (ValueError, TypeError, KeyError):
            return ""
        is_ours = isinstance(fingerprint, str) and isinstance(at, str) and OUR_TIME.fullmatch(at)
        return at if is_ours else ""

    @rule(kind=st.sampled_from(list(TTL_S)), subject=subjects, value=st.sampled_from(STRANGE))
    def another_client_writes(self, kind: Kind, subject: tuple[str | None, str], value: bytes) -> None:
        key = cache_key(kind, subject[1], subject[0])
        self.redis.set(key, value)
        self.drop(key)
        self.model[key] = value

    @rule(kind=st.sampled_from(list(TTL_S)), subject=subjects)
    def another_client_writes_a_hash(self, kind: Kind, subject: tuple[str | None, str]) -> None:
        key = cache_key(kind, subject[1], subject[0])
        self.redis.delete(key)
        self.redis.hset(key, "reading_timestamp", "2999-01-01T00:00:00.000Z")
        self.drop(key)
        self.model[key] = {"reading_timestamp": "2999-01-01T00:00:00.000Z"}

    @rule(subject=subjects)
    def delete(self, subject: tuple[str | None, str]) -> None:
        tenant, charger = subject
        keys = [cache_key(kind, charger, tenant) for kind in TTL_S]
        assert self.cache.holds(charger, tenant) == any(key in self.model for key in keys)
        assert self.cache.delete(charger, tenant) == sum(key in self.model for key in keys)
        self.drop(*keys)

    @rule(seconds=st.sampled_from([5, 295, 3_600]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)


MOST: Final = 3


class RecentReadings(ComparedWithRedis):
    """The earliest reading of each slot, and at most three slots of a charger."""

    def __init__(self) -> None:
        super().__init__()
        connection = SimpleNamespace(execute=lambda *commands: self.redis.run(commands))
        self.history = RecentHistory(cast(Any, connection))

    @rule(
        puts=st.lists(
            st.tuples(
                subjects, st.sampled_from([-1, 2, 9, 10, 11, 100]), st.sampled_from([0, 0.5, 60, SLOT_S - 1])
            ),
            min_size=1,
            max_size=4,
        )
    )
    def add(self, puts: list[tuple[tuple[str | None, str], int, float]]) -> None:
        things: Any = []
        for (tenant, charger), slot, second in puts:
            key, at = readings_key(tenant, charger), slot * SLOT_S + second
            entry = orjson.dumps([at, "IN_USE]", second])
            things.append(([key], [slot, at, entry]))
            slots = self.model.setdefault(key, {})
            held = slots.get(str(slot))
            if held is None or orjson.loads(held)[0] > at:
                slots[str(slot)] = entry
                self.expire(key, EXPIRY_S)
                if held is None and len(slots) > MOST:
                    del slots[min(slots, key=int)]
        self.redis.run(for_each(_ADD, [MOST, EXPIRY_S], things))

    @rule(number=st.sampled_from([2, 70, 600]))
    def look_up(self, number: int) -> None:
        """Few chargers are asked for one by one, many by a script, and more by several."""
        askers = [(tenant, charger) for tenant in TENANTS for charger in CHARGERS]
        askers += [(None, f"other-{each}") for each in range(number - len(askers))]
        found = {asker: sorted(values) for asker, values in self.history._stored(askers) if values}
        assert found == {
            asker: sorted(self.model[key].values())
            for asker in askers
            if (key := readings_key(*asker)) in self.model
        }

    @rule(subject=subjects)
    def erase(self, subject: tuple[str | None, str]) -> None:
        self.redis.delete(readings_key(*subject))
        self.drop(readings_key(*subject))

    @rule(seconds=st.sampled_from([60, SLOT_S, EXPIRY_S - 60]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)


def test_the_cache_is_as_a_plain_model_of_it(redis: RunningServer) -> None:
    check(Cache, redis.url)


def test_recent_readings_are_as_a_plain_model_of_them(redis: RunningServer) -> None:
    check(RecentReadings, redis.url)
