"""Cached verdicts: keys, TTLs and what counts as a hit (DESIGN.md "Cache contract").

The value of a failure key is the JSON body of the prediction itself, so that the operator's backend may
read it directly. It carries the reading's fingerprint and the model version; a value without them, which
the backend's own client may have written, is a miss. Trouble with the cache never fails a prediction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
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

# Which versions the workers answer with now; they rewrite it with every heartbeat.
VERSIONS_KEY: Final = "ml:models:versions"
BREAK_S: Final = 1.0

# Newest reading wins; what another client left there without a fingerprint, or of another type, is replaced.
# Times are RFC 3339 in UTC with three decimals: as strings they compare like times. Our own verdicts tell
# theirs near their end, and only that is looked at. Of others' only what has a later time somewhere is
# decoded, which takes Redis longer than all the rest.
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


# Kind, charger, tenant, and the fingerprint of the reading, where only one counts.
Wanted = tuple[Kind, str, str | None, str | None]
# Kind, tenant, verdict, and the same as JSON.
Stored = tuple[Kind, str | None, dict[str, Any], bytes]


def cache_key(kind: Kind, charger_id: str, tenant: str | None) -> str:
    return f"{tenant_prefix(tenant)}prediction:{kind}:{charger_id}"


class VerdictCache:
    """The cache as seen by one process. After an error it is left alone for a second."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = connect(settings.redis_cache_url, timeout_s=CACHE_TIMEOUT_S)
        self._connection = PinnedConnection(self._redis)
        # Whether the verdicts live where jobs and fleet do: then they can travel there together.
        self.with_the_rest: Final = settings.redis_cache_url == settings.redis_url
        self._ttl_s: dict[str, int] = {
            "failure": settings.cache_ttl_failure_s,
            "maintenance": settings.cache_ttl_maintenance_s,
            "anomaly": settings.cache_ttl_anomaly_s,
        }
        self._broken_until = 0.0
        self._lock = threading.Lock()

    def get(self, kind: Kind, charger_id: str, tenant: str | None, *, fingerprint: str) -> bytes | None:
        """`get_all` of one."""
        return self.get_all([(kind, charger_id, tenant, fingerprint)])[0]

    def get_all(self, wanted: Sequence[Wanted]) -> list[bytes | None]:
        """The cached verdicts for exactly these readings as JSON bodies with `cached: true`, or None.

        One round trip, which blocks 0.3 s at most, a new connection as long again; an unreachable cache has
        nothing.
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
        """Where to look for what is wanted, and the fingerprint without which it is not there.

        For others who speak to the same Redis; empty where the cache has one of its own.
        """
        if not self.with_the_rest:
            return []
        return [
            (cache_key(kind, charger_id, tenant), fingerprint or "")
            for kind, charger_id, tenant, fingerprint in wanted
        ]

    def count_misses(self, wanted: Sequence[Wanted]) -> None:
        """Somebody has looked (`guards`) and found none."""
        _count(wanted, [None] * len(wanted))

    def newest(self, kind: Kind, charger_id: str, tenant: str | None) -> bytes | None:
        """The cached verdict whatever its reading was. Raises `redis.RedisError`."""
        return self._read([(kind, charger_id, tenant, None)])[0]

    def _read(self, wanted: Sequence[Wanted]) -> list[bytes | None]:
        """Only a verdict of the model version in force counts."""
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
        """Store verdicts in one round trip, where no newer reading is cached."""
        if not verdicts or time.monotonic() < self._broken_until:
            return
        try:
            self._connection.execute(*self.to_store(verdicts))
        except RedisError as error:
            self._trip(error)

    def to_store(self, verdicts: Sequence[Stored]) -> list[Command]:
        """The commands of `put_all`, for others who speak to the same Redis (`with_the_rest`)."""
        things: Things = [
            (
                [cache_key(kind, verdict["charger_id"], tenant)],
                [verdict["reading_timestamp"], body, self._ttl_s[kind]],
            )
            for kind, tenant, verdict, body in verdicts
        ]
        return for_each(_PUT, [], things)

    def announce_versions(self, versions: dict[str, str]) -> None:
        """Workers say which versions they answer with; verdicts of other versions stop being hits."""
        self._redis.set(VERSIONS_KEY, orjson.dumps(versions))

    def delete(self, charger_id: str, tenant: str | None) -> None:
        """Forget every cached verdict of a charger. Raises `redis.RedisError`."""
        self._redis.delete(*(cache_key(kind, charger_id, tenant) for kind in KINDS))

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
        and verdict.get("charger_id") == charger_id
        and fingerprint in (None, verdict["fingerprint"])
    )
    return orjson.dumps(verdict | {"cached": True}) if hit and verdict is not None else None


def _decode(raw: bytes | None) -> dict[str, Any] | None:
    try:
        value = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
