"""Cached verdicts: keys, TTLs and the conditions of a hit (README, "One charger").

The value of a failure key is the JSON body of the prediction, so that the operator's backend can read it
directly. It contains the reading's fingerprint and the model version. A value without them, e.g. written by
the backend's own client, is a miss. Cache errors never fail a prediction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final, cast

import orjson
from redis import Redis, RedisError

import metrics
from readings.reading import KINDS, Kind
from settings import Settings
from tasks.storage.redis_connection import (
    CACHE_TIMEOUT_S,
    Command,
    PinnedConnection,
    Things,
    connect,
    for_each,
    tenant_prefix,
)

log = logging.getLogger(__name__)

# The model versions that workers use now. Workers rewrite the key with every heartbeat.
VERSIONS_KEY: Final = "ml:models:versions"
BREAK_S: Final = 1.0

# The newest reading wins. A value without a fingerprint, or of another type, was written by another client
# and is replaced. Times are RFC 3339 in UTC with three decimals, so they compare correctly as strings. In our
# own verdicts the time is near the end, so only the tail is read. Other values are decoded only if they
# contain a later time, because decoding takes Redis longer than all other steps.
_PUT = """
local TIME = '%d%d%d%d%-%d%d%-%d%dT[^"]*Z'
local OURS = '^(' .. TIME .. ')",[^{}]*"fingerprint":"%x+"}$'
local function tells_of_later(held, at)
  local _, found = string.find(held, '"reading_timestamp"', 1, true)
  while found do
    local its = string.match(held, '^%s*:%s*"([^"]*)"', found + 1)
    if its and its > at then return true end
    _, found = string.find(held, '"reading_timestamp"', found, true)
  end
  return false
end
local function newer(key, at)
  local tail = redis.pcall('GETRANGE', key, -300, -1)
  if tail == '' then return false end
  local _, found = string.find(type(tail) == 'string' and tail or '', '"reading_timestamp":"', 1, true)
  local its = found and string.match(tail, OURS, found + 1)
  if its then return its > at end
  local held = redis.pcall('GET', key)
  if type(held) ~= 'string' or not tells_of_later(held, at) then return false end
  local read, verdict = pcall(cjson.decode, held)
  if not read or type(verdict) ~= 'table' or type(verdict.fingerprint) ~= 'string' then return false end
  its = verdict.reading_timestamp
  return type(its) == 'string' and string.match(its, '^' .. TIME .. '$') and its > at
end
for i, key in ipairs(KEYS) do
  local at, body, ttl = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if not newer(key, at) then redis.call('SET', key, body, 'EX', ttl) end
end
"""


# Kind, charger, tenant, and the reading's fingerprint; None accepts any reading.
Wanted = tuple[Kind, str, str | None, str | None]
# Kind, tenant, verdict, and the verdict as JSON.
Stored = tuple[Kind, str | None, dict[str, Any], bytes]


def cache_key(kind: Kind, charger_id: str, tenant: str | None) -> str:
    """The Redis key of a charger's verdict, as published in README, "One charger"."""
    return f"{tenant_prefix(tenant)}prediction:{kind}:{charger_id}"


class VerdictCache:
    """The cache as used by one process. Thread-safe. After an error it is not used for 1 s."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = connect(settings.redis_cache_url, timeout_s=CACHE_TIMEOUT_S)
        self._connection = PinnedConnection(self._redis)
        # Whether the cache shares the Redis of jobs and fleet, so that commands can share a round trip.
        self.with_the_rest: Final = settings.redis_cache_url == settings.redis_url
        self._ttl_s: dict[str, int] = {
            "failure": settings.cache_ttl_failure_s,
            "maintenance": settings.cache_ttl_maintenance_s,
            "anomaly": settings.cache_ttl_anomaly_s,
        }
        self._broken_until = 0.0
        self._lock = threading.Lock()

    def get_all(self, wanted: Sequence[Wanted]) -> list[bytes | None]:
        """Cached verdicts of exactly these readings, as JSON bodies with `cached: true`; None for misses.

        One round trip. Blocks 0.3 s at most, and 0.3 s more for a new connection. If the cache is
        unreachable, all are misses.
        """
        if time.monotonic() < self._broken_until:
            return [None] * len(wanted)
        try:
            bodies = self._read(wanted)
        except RedisError as error:
            self._trip(error)
            return [None] * len(wanted)
        _count(wanted, bodies)
        return bodies

    def guards(self, wanted: Sequence[Wanted]) -> list[tuple[str, str]]:
        """The cache key of each wanted verdict, and a text that the value contains if it is a hit.

        For commands on the same Redis that depend on the cache. Empty if the cache has its own Redis.
        """
        if not self.with_the_rest:
            return []
        return [
            (cache_key(kind, charger_id, tenant), fingerprint or "")
            for kind, charger_id, tenant, fingerprint in wanted
        ]

    def count_misses(self, wanted: Sequence[Wanted]) -> None:
        """Count misses in the metrics, after a look-up by `guards` that found nothing."""
        _count(wanted, [None] * len(wanted))

    def newest(self, kind: Kind, charger_id: str, tenant: str | None) -> bytes | None:
        """The cached verdict of a charger, for any reading. Raises `redis.RedisError`."""
        return self._read([(kind, charger_id, tenant, None)])[0]

    def _read(self, wanted: Sequence[Wanted]) -> list[bytes | None]:
        """Cached verdicts of the active model versions; None for misses."""
        keys = [cache_key(kind, charger_id, tenant) for kind, charger_id, tenant, _ in wanted]
        *bodies, versions = cast(
            list[bytes | None], self._connection.execute(("MGET", *keys, VERSIONS_KEY))[0]
        )
        in_force = _decode(versions)
        return [
            None if body is None or in_force is None else _hit(body, in_force, one)
            for body, one in zip(bodies, wanted, strict=True)
        ]

    def put_all(self, verdicts: Sequence[Stored]) -> None:
        """Store verdicts in one round trip, unless a newer reading is cached. Logs errors; raises nothing."""
        if not verdicts or time.monotonic() < self._broken_until:
            return
        try:
            self._connection.execute(*self.to_store(verdicts))
        except RedisError as error:
            self._trip(error)

    def to_store(self, verdicts: Sequence[Stored]) -> list[Command]:
        """The commands of `put_all`, for a batch of commands on the same Redis (`with_the_rest`)."""
        things: Things = [
            (
                [cache_key(kind, verdict["charger_id"], tenant)],
                [verdict["reading_timestamp"], body, self._ttl_s[kind]],
            )
            for kind, tenant, verdict, body in verdicts
        ]
        return for_each(_PUT, [], things)

    def announce_versions(self, versions: dict[str, str]) -> None:
        """Publish the versions that workers use now. Verdicts of other versions are no longer hits."""
        self._redis.set(VERSIONS_KEY, orjson.dumps(versions))

    def delete(self, charger_id: str, tenant: str | None) -> int:
        """Delete all cached verdicts of a charger. Returns their number. Raises `redis.RedisError`."""
        return self._redis.delete(*(cache_key(kind, charger_id, tenant) for kind in KINDS))

    def delete_many(self, tenant: str | None, charger_ids: Collection[str]) -> None:
        """Delete all cached verdicts of chargers in one round trip. Raises `redis.RedisError`."""
        keys = [cache_key(kind, charger_id, tenant) for charger_id in charger_ids for kind in KINDS]
        self._connection.execute(("DEL", *keys))

    def discard_many(self, tenant: str | None, charger_ids: Collection[str]) -> None:
        """Like `delete_many`, for a caller that goes on without the cache. Logs errors; raises nothing."""
        if time.monotonic() < self._broken_until:
            return
        try:
            self.delete_many(tenant, charger_ids)
        except RedisError as error:
            self._trip(error)

    def holds(self, charger_id: str, tenant: str | None) -> bool:
        """Whether any verdict of a charger is cached. Raises `redis.RedisError`."""
        return bool(self._redis.exists(*(cache_key(kind, charger_id, tenant) for kind in KINDS)))

    def _trip(self, error: RedisError) -> None:
        with self._lock:
            if time.monotonic() >= self._broken_until:
                log.warning("cache unavailable, going on without it: %s", error)
            self._broken_until = time.monotonic() + BREAK_S
        metrics.CACHE_ERRORS.inc()


def _count(wanted: Sequence[Wanted], bodies: Sequence[bytes | None]) -> None:
    results = Counter(
        (kind, "miss" if body is None else "hit")
        for (kind, _, _, _), body in zip(wanted, bodies, strict=True)
    )
    for (kind, result), number in results.items():
        metrics.CACHE_LOOKUPS.labels(kind=kind, result=result).inc(number)


def _hit(body: bytes, in_force: dict[str, Any], wanted: Wanted) -> bytes | None:
    kind, charger_id, _, fingerprint = wanted
    verdict = _decode(body)
    hit = (
        verdict is not None
        and isinstance(verdict.get("fingerprint"), str)
        and verdict.get("model_version") == in_force.get(kind)
        and (kind != "failure" or verdict.get("cost_policy") == _cost_policy(in_force))
        and verdict.get("charger_id") == charger_id
        and fingerprint in (None, verdict["fingerprint"])
    )
    return orjson.dumps(verdict | {"cached": True}) if hit and verdict is not None else None


def _cost_policy(in_force: dict[str, Any]) -> str | None:
    """The cost policy of the workers: the first part of the schedule's version. It changes with the costs."""
    return str(in_force.get("maintenance", "")).partition("+")[0] or None


def _decode(raw: bytes | None) -> dict[str, Any] | None:
    try:
        value = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
