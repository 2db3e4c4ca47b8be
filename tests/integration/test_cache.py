"""What a newer verdict replaces in the cache, and what stays: ours, and what other clients wrote there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import orjson
import pytest
from redis import Redis

from settings import read_settings
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
