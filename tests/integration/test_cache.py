"""What a newer verdict replaces in the cache, and what stays: ours, and what other clients wrote there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from redis import Redis

from readings.reading import Reading
from settings import read_settings
from tasks.storage import verdict_cache
from tasks.storage.fleet import FleetStore, newest_key
from tasks.storage.redis_connection import PinnedConnection
from tasks.storage.verdict_cache import VerdictCache, cache_key
from tests.processes import environment
from tests.services import RunningServer

EARLY, NOW, LATE = (f"2026-03-01T12:00:0{second}.000Z" for second in range(3))
TENANT = "t" * 64


@pytest.fixture
def store(redis: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(redis.url) as client:
        yield client


@pytest.fixture
def cache(redis: RunningServer, monkeypatch: pytest.MonkeyPatch) -> VerdictCache:
    for name, value in environment(redis.url).items():
        monkeypatch.setenv(name, value)
    return VerdictCache(read_settings(dotenv=None))


def ours(at: str) -> bytes:
    """In the order in which workers write it, and as long as it gets."""
    verdict = {
        "top_contributing_factors": [{"factor": "temperature", "text": "x" * 1000}],
        "reading_timestamp": at,
        "tenant_id": TENANT,
        "timestamp": LATE,
        "cached": False,
        "degraded": False,
        "fingerprint": "a" * 32,
    }
    return orjson.dumps(verdict)


def others(at: str) -> bytes:
    """A verdict as another client would write it: other spaces, another order."""
    return (
        b'{"fingerprint" : "f", "x": {"reading_timestamp": "2030"}, "reading_timestamp" : "%s"}' % at.encode()
    )


@pytest.mark.parametrize(
    ("held", "stays"),
    [
        (None, False),
        (ours(EARLY), False),
        (ours(NOW), False),
        (ours(LATE), True),
        (others(EARLY), False),
        (others(LATE), True),
        # Ours, with a time of something else near the end too.
        (ours(EARLY).replace(b'"reading', b'"x":{"reading_timestamp":"%s"},"reading' % LATE.encode()), False),
        (ours(LATE).replace(b'"reading', b'"x":{"reading_timestamp":"%s"},"reading' % EARLY.encode()), True),
        # What only looks like ours, or like a later time.
        (b"", False),
        (b"not JSON " + ours(LATE)[-200:-1], False),
        (ours(LATE).replace(b'"fingerprint"', b'"print"'), False),
        (ours(LATE).replace(LATE.encode(), b"later"), False),
        (orjson.dumps({"fingerprint": "f", "inner": orjson.loads(ours(LATE))}), False),
        (orjson.dumps([orjson.loads(ours(LATE))]), False),
        (orjson.dumps({"fingerprint": "f", "text": ours(LATE).decode()}), False),
    ],
)
def test_only_the_verdict_on_a_newer_reading_stays(
    store: Redis, cache: VerdictCache, held: bytes | None, stays: bool
) -> None:
    charger_id = uuid.uuid4().hex
    key = cache_key("failure", charger_id, TENANT)
    if held is not None:
        store.set(key, held)
    new = ours(NOW)
    cache.put_all([("failure", TENANT, {"charger_id": charger_id, "reading_timestamp": NOW}, new)])
    assert store.get(key) == (held if stays else new)


def test_a_key_of_another_type_is_replaced(store: Redis, cache: VerdictCache) -> None:
    charger_id = uuid.uuid4().hex
    key = cache_key("failure", charger_id, None)
    store.rpush(key, "x")
    cache.put_all([("failure", None, {"charger_id": charger_id, "reading_timestamp": NOW}, ours(NOW))])
    assert store.get(key) == ours(NOW)


@pytest.mark.parametrize(
    ("policy", "in_force", "is_hit"),
    [
        ("cost-3-a", "cost-3-a+1", True),
        ("cost-3-b", "cost-3-a+1", False),
        (None, "cost-3-a+1", False),  # of the release before, without the fields of this one
        (None, None, True),
    ],
)
def test_other_costs_make_a_failure_prediction_a_miss(
    cache: VerdictCache, policy: str | None, in_force: str | None, is_hit: bool
) -> None:
    charger_id = uuid.uuid4().hex
    verdict = {"charger_id": charger_id, "model_version": "1"} | orjson.loads(ours(NOW))
    if policy is not None:
        verdict["cost_policy"] = policy
    cache.put_all([("failure", None, verdict, orjson.dumps(verdict))])
    cache.announce_versions({"failure": "1"} | ({"maintenance": in_force} if in_force else {}))
    found = cache.get_all([("failure", charger_id, None, "a" * 32)])
    assert (found != [None]) is is_hit


def test_a_batch_stores_in_fleet_and_cache_alike_although_the_cache_has_just_failed(
    lone_redis: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(lone_redis.url).items():
        monkeypatch.setenv(name, value)
    from tasks.worker import score_chunk  # it reads the settings
    from tasks.worker.scoring import Subject, Verdict

    monkeypatch.setattr(verdict_cache, "BREAK_S", 60.0)
    settings = read_settings(dotenv=None)
    with Redis.from_url(lone_redis.url) as store:
        runtime = SimpleNamespace(
            cache=VerdictCache(settings), fleet=FleetStore(settings), connection=PinnedConnection(store)
        )
        lone_redis.pause()
        assert runtime.cache.get_all([("failure", "C", None, None)]) == [None]
        lone_redis.resume()
        fields = orjson.loads(ours(NOW)) | {
            "charger_id": "C",
            "failure_probability": 0.5,
            "horizons": {"1d": 0.1, "7d": 0.2, "30d": 0.5},
            "recommended_action": "IMMEDIATE",
            "in_failure": False,
            "confidence": 0.5,
            "model_version": "1",
        }
        subject = Subject(Reading("C", "AVAILABLE", datetime.fromisoformat(NOW)), None)
        score_chunk._store(cast(Any, runtime), [(subject, Verdict("failure", None, fields, ours(NOW)))])
        assert store.hget(newest_key(None, "C"), "body") == ours(NOW)
        assert store.get(cache_key("failure", "C", None)) == ours(NOW)
