"""The fleet store: newest verdicts and readings, a row of each charger, and compact past verdicts.

It is separate from the cache. Nothing is evicted within `ML_FLEET_RETENTION_DAYS`, and a new model version
changes nothing. The keys and their sizes are in docs/scaling.md.

Past verdicts are the newest of each slot of 12 hours, and the first of each state in a slot. The state is the
action, and whether the alert threshold is reached. Both depend on the set of verdicts alone, so the order of
arrival and repeats change nothing. Storing the changes themselves would not have this property: a reading
that arrives after its time turns a dropped neighbour into a change.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

import orjson
from redis import Redis

from errors import UnknownCharger
from readings.reading import Reading
from settings import Settings
from tasks.storage.fleet_rows import (
    FIELDS_PER_SLOT,
    ChargerHistory,
    FleetRow,
    decode_past,
    decode_row,
    encode_past,
    encode_reading,
    encode_row,
    state_of,
    version_field,
)
from tasks.storage.redis_connection import Command, connect, for_each, tenant_prefix

DAY_S: Final = 86_400
SLOT_S: Final = 43_200
# A longer retention has longer slots, so that the size of a charger does not depend on it.
SLOTS: Final = 60
# With the slot that is partly too old, and the one that the tolerated future begins.
MOST_SLOTS: Final = SLOTS + 2
# A calm charger has one state in each slot. The other half is for changes.
MOST_STATES: Final = 2 * MOST_SLOTS
# Keys live longer than the retention by this share, so that few writes must extend their TTL.
SLACK: Final = 0.01
ROWS_AT_ONCE: Final = 1_000

# A verdict, its JSON, its tenant and its reading.
Stored = tuple[str | None, dict[str, Any], bytes, Reading]

# `past` has the field 16 * slot for a slot's newest verdict, and 16 * slot + state for its first one of each
# state. `cut` is the newest slot whose first verdicts were dropped for space. A bound by whole slots drops
# the same ones in every order of arrival. `changed` and `rows` lose up to two old chargers a write.
_STORE = """
local call, sub = redis.call, string.sub
local retention, longer, slot_s = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local most_slots, most_states = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local oldest, clean = now - retention, {}
local function trim(past)
  local held, states, slots, kept, gone, named = call('HGETALL', past), {}, {}, {}, {}, {}
  local cut = -1
  for j = 1, #held, 2 do
    local field = tonumber(held[j])
    if field then
      local slot = math.floor(field / 16)
      if field % 16 == 0 then slots[#slots + 1] = slot else states[slot] = (states[slot] or 0) + 1 end
    elseif held[j] == 'cut' then cut = tonumber(held[j + 1]) end
  end
  table.sort(slots, function(one, other) return one > other end)
  local count, before = 0, cut
  for j, slot in ipairs(slots) do
    kept[slot] = j <= most_slots and (slot + 1) * slot_s > oldest
    count = count + (states[slot] or 0)
    if count > most_states and slot > cut then cut = slot end
  end
  for j = 1, #held, 2 do
    local field = tonumber(held[j])
    if field then
      local slot = math.floor(field / 16)
      if not kept[slot] or field % 16 > 0 and slot <= cut then gone[#gone + 1] = held[j]
      else named['v' .. sub(held[j + 1], 33, 36)] = true end
    end
  end
  for j = 1, #held, 2 do
    if sub(held[j], 1, 1) == 'v' and not named[held[j]] then gone[#gone + 1] = held[j] end
  end
  if #gone > 0 then call('HDEL', past, unpack(gone)) end
  if cut > before then call('HSET', past, 'cut', cut) end
end
local function remember(past, slot, state, entry, version, name)
  local at, held = sub(entry, 2, 12), call('HMGET', past, slot, state)
  local latest, first = held[1], held[2]
  local is_latest = not latest or sub(latest, 2, 12) <= at
  local is_first = first and sub(first, 2, 12) >= at
  if not first then
    local cut = latest and call('HGET', past, 'cut')
    is_first = not cut or slot / 16 > tonumber(cut)
  end
  if is_latest and is_first then call('HSET', past, slot, entry, state, entry, version, name)
  elseif is_latest then call('HSET', past, slot, entry, version, name)
  elseif is_first then call('HSET', past, state, entry, version, name) end
  if not latest then call('EXPIRE', past, longer + slot_s) end
  if not latest or is_first and not first and call('HLEN', past) > most_states then trim(past) end
end
for i = 0, #KEYS / 4 - 1 do
  local newest, past, rows, changed = unpack(KEYS, 4 * i + 1, 4 * i + 4)
  local at, slot, state, charger, body, reading, row, entry, version, name =
    unpack(ARGV, 10 * i + 6, 10 * i + 15)
  local moment = tonumber(at)
  if moment > oldest then remember(past, slot, state, entry, version, name) end
  local held = call('HGET', newest, 'at')
  if not held or tonumber(held) <= moment then
    call('HSET', newest, 'at', at, 'body', body, 'reading', reading)
    if not held or call('TTL', newest) <= retention then call('EXPIRE', newest, longer) end
    call('HSET', rows, charger, row)
    call('ZADD', changed, math.floor(now * 1000), charger)
    if clean[changed] == nil and call('TTL', changed) <= retention then
      call('EXPIRE', changed, longer)
      call('EXPIRE', rows, longer)
    end
    if not clean[changed] then
      local gone = call('ZRANGEBYSCORE', changed, '-inf', oldest * 1000, 'LIMIT', 0, 2)
      clean[changed] = #gone < 2
      if #gone > 0 then
        call('ZREM', changed, unpack(gone))
        call('HDEL', rows, unpack(gone))
      end
    end
  end
end
"""


class FleetStore:
    """Verdicts in one Redis server. Reading methods raise `redis.RedisError` if it is unreachable."""

    def __init__(self, settings: Settings, redis: Redis | None = None) -> None:
        self._redis: Redis = redis or connect(settings.redis_url)
        self._retention_s = settings.fleet_retention_days * DAY_S
        self._slot_s = max(SLOT_S, self._retention_s // SLOTS)
        self._alert_threshold = settings.alert_threshold

    def to_store(self, verdicts: Sequence[Stored]) -> list[Command]:
        """The commands that store failure predictions, each `(tenant, verdict, verdict as JSON, reading)`."""
        return for_each(
            _STORE,
            [
                self._retention_s,
                int(self._retention_s * (1 + SLACK)),
                self._slot_s,
                MOST_SLOTS,
                MOST_STATES,
            ],
            [
                (
                    [
                        newest_key(tenant, verdict["charger_id"]),
                        past_key(tenant, verdict["charger_id"]),
                        rows_key(tenant),
                        changed_key(tenant),
                    ],
                    self._arguments(verdict, body, reading),
                )
                for tenant, verdict, body, reading in verdicts
            ],
        )

    def _arguments(self, verdict: dict[str, Any], body: bytes, reading: Reading) -> list[bytes | str | float]:
        # The verdict's own time, in milliseconds, as the reading may have more digits.
        at = datetime.fromisoformat(verdict["reading_timestamp"]).timestamp()
        slot = int(at // self._slot_s) * FIELDS_PER_SLOT
        return [
            at,
            slot,
            slot + state_of(verdict, self._alert_threshold),
            verdict["charger_id"],
            body,
            encode_reading(reading),
            encode_row(verdict, reading),
            encode_past(verdict, round(at * 1000)),
            version_field(verdict["model_version"]),
            verdict["model_version"],
        ]

    def by_risk(self, tenant: str | None, *, offset: int, limit: int) -> tuple[list[bytes], int]:
        """A page of newest verdicts as JSON, highest 30-day probability first, and the number of chargers.

        Reads the rows of the whole fleet.
        """
        rows = self.rows(tenant)
        ranked = sorted(rows, key=lambda charger: (rows[charger].p30, charger), reverse=True)
        pipeline = self._redis.pipeline(transaction=False)
        for charger in ranked[offset : offset + limit]:
            pipeline.hget(newest_key(tenant, charger.decode()), "body")
        bodies = cast(list[bytes | None], pipeline.execute())
        return [body for body in bodies if body is not None], len(ranked)

    def rows(self, tenant: str | None) -> dict[bytes, FleetRow]:
        """The row of each charger whose verdict was written within the retention. Reads the whole fleet."""
        since_ms = (time.time() - self._retention_s) * 1000
        members = cast(list[bytes], self._redis.zrangebyscore(changed_key(tenant), since_ms, "+inf"))
        rows: dict[bytes, FleetRow] = {}
        for start in range(0, len(members), ROWS_AT_ONCE):
            some = members[start : start + ROWS_AT_ONCE]
            held = cast(list[bytes | None], self._redis.hmget(rows_key(tenant), cast(list[str], some)))
            for member, row in zip(some, held, strict=True):
                decoded = decode_row(row) if row is not None else None
                if decoded is not None:
                    rows[member] = decoded
        return rows

    def history(
        self, tenant: str | None, charger_id: str, *, offset: int, limit: int
    ) -> tuple[list[bytes], int]:
        """A page of a charger's past verdicts as JSON, newest reading first, and their total number.

        Raises `UnknownCharger`.
        """
        verdicts = self._history_of(tenant, charger_id).shown(self._alert_threshold)
        if not verdicts:
            raise UnknownCharger(f"No verdict of charger {charger_id} is stored.")
        return [orjson.dumps(verdict) for verdict in verdicts[offset : offset + limit]], len(verdicts)

    def newest_before(
        self, tenant: str | None, charger_id: str, moment: float, *, not_before: float
    ) -> dict[str, Any] | None:
        """The stored verdict of the newest reading between `not_before` and `moment` (epoch s), or None.

        `moment` itself is excluded. The newest reading of all may be up to a slot newer than the stored one.
        """
        past = self._history_of(tenant, charger_id)
        for at_ms, _, entry in reversed(past.verdicts):
            if not_before * 1000 <= at_ms < moment * 1000:
                return decode_past(entry, past.versions)
        return None

    def _history_of(self, tenant: str | None, charger_id: str) -> ChargerHistory:
        held = cast(dict[bytes, bytes], self._redis.hgetall(past_key(tenant, charger_id)))
        return ChargerHistory.of(held, after_ms=(time.time() - self._retention_s) * 1000)


def newest_key(tenant: str | None, charger_id: str) -> str:
    """Key of a charger's newest verdict and reading: a hash of `at`, `body` and `reading`."""
    return f"{tenant_prefix(tenant)}fleet:newest:{charger_id}"


def past_key(tenant: str | None, charger_id: str) -> str:
    """Key of a charger's past verdicts: a hash."""
    return f"{tenant_prefix(tenant)}fleet:past:{charger_id}"


def rows_key(tenant: str | None) -> str:
    """Key of a tenant's rows: a hash by charger."""
    return f"{tenant_prefix(tenant)}fleet:rows"


def changed_key(tenant: str | None) -> str:
    """Key of a tenant's chargers by the time of writing, in ms of Redis' clock: a sorted set."""
    return f"{tenant_prefix(tenant)}fleet:changed"


def erasures_key(tenant: str | None) -> str:
    """Key of the number of a tenant's erased chargers. A copy of the rows is stale once it changes."""
    return f"{tenant_prefix(tenant)}fleet:erasures"
