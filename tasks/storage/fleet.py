"""The fleet store: newest verdicts and readings, a row of each charger, and compact past verdicts.

It is separate from the cache. Nothing is evicted within `ML_FLEET_RETENTION_DAYS`, and a new model version
changes nothing. The keys and their sizes are in docs/scaling.md.

Past verdicts are the newest of each slot of 12 hours, and the first of each state in a slot. The state is the
action, and whether the alert threshold is reached. Both depend on the set of verdicts alone, so the order of
arrival and repeats change nothing. Storing the changes themselves would not have this property: a reading
that arrives after its time turns a dropped neighbour into a change.
"""

from __future__ import annotations

import re
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
    decode_past,
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
# The most first verdicts of states. A calm charger has one in each slot; the rest is for changes. Above this
# number of fields the hash is trimmed. It stays below 512 fields, where a compact hash ends.
MOST_STATES: Final = 150
# Keys live longer than the retention by this share, so that few writes must extend their TTL.
SLACK: Final = 0.01
# Changed actions that are not yet announced to webhooks: rows key, charger, row before, row now.
ACTIONS_KEY: Final = "ml:fleet:actions"

# A verdict, its JSON, its tenant and its reading.
Stored = tuple[str | None, dict[str, Any], bytes, Reading]


def _short(script: str) -> str:
    """The script without needless spaces: Redis receives and hashes the text at each call."""
    return re.sub(r" *([=,+*<>(){}~\[\]/-]) *", r"\1", re.sub(r"\n\s*", "\n", script))


# While there are webhooks, changed actions are noted in `ACTIONS_KEY` for `tasks/worker/announcements.py`.
# `past` has the field 16 * slot for a slot's newest verdict, and 16 * slot + state for its first one of each
# state. `cut` is the newest slot whose first verdicts were dropped for space. A bound by whole slots drops
# the same ones in every order of arrival. `changed` and `rows` lose up to two old chargers a write. Both are
# renewed with the newest verdict of any charger, so they outlive all of them. `fleet:risk` is of the release
# before, which gave it no expiry.
_STORE: Final = _short("""
local call, sub = redis.call, string.sub
local retention, longer, slot_s, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = call('TIME')
local now = time[1] + time[2] / 1e6
local oldest, clean = now - retention, {}
local watched = call('EXISTS', 'ml:webhooks') == 1 and call('LLEN', 'ml:fleet:actions') < 10000
local function action_of(row) return row and string.match(row, '"([%u%d_]+)"') or 'NONE' end
local function trim(past)
  local held, states, slots, used, gone = call('HGETALL', past), {}, {}, {}, {}
  local cut, count = -1, 0
  for j = 1, #held, 2 do
    local field = tonumber(held[j])
    if not field then
      if held[j] == 'cut' then cut = tonumber(held[j + 1]) end
    elseif field % 16 == 0 then
      slots[#slots + 1] = field / 16
    else
      local slot = math.floor(field / 16)
      states[slot] = (states[slot] or 0) + 1
    end
  end
  table.sort(slots)
  for j = #slots, 1, -1 do
    count = count + (states[slots[j]] or 0)
    if count > most and slots[j] > cut then
      cut = slots[j]
      call('HSET', past, 'cut', cut)
    end
  end
  for j = 1, #held, 2 do
    local field = tonumber(held[j])
    if field then
      local slot = math.floor(field / 16)
      if (slot + 1) * slot_s <= oldest or field % 16 > 0 and slot <= cut then gone[#gone + 1] = field
      else used['v' .. sub(held[j + 1], 33, 36)] = true end
    end
  end
  for j = 1, #held, 2 do
    if sub(held[j], 1, 1) == 'v' and not used[held[j]] then gone[#gone + 1] = held[j] end
  end
  if #gone > 0 then call('HDEL', past, unpack(gone)) end
end
local function remember(past, slot, state, verdict, version, name)
  local at, held = sub(verdict, 2, 12), call('HMGET', past, slot, state)
  local newest, first = held[1], held[2]
  local is_newest = not newest or sub(newest, 2, 12) <= at
  local is_first = first and sub(first, 2, 12) >= at
  if not first then
    local cut = call('HGET', past, 'cut')
    is_first = not cut or slot / 16 > tonumber(cut)
  end
  local added = 0
  if is_newest and is_first then added = call('HSET', past, slot, verdict, state, verdict, version, name)
  elseif is_newest and newest and sub(newest, 33) == sub(verdict, 33) then call('HSET', past, slot, verdict)
  elseif is_newest then added = call('HSET', past, slot, verdict, version, name)
  elseif is_first then added = call('HSET', past, state, verdict, version, name) end
  if not newest then call('EXPIRE', past, longer + slot_s) end
  if added > 0 and call('HLEN', past) > most then trim(past) end
end
for i = 0, #KEYS / 4 - 1 do
  local k, a = 4 * i, 10 * i + 4
  local newest, rows, changed, charger = KEYS[k + 1], KEYS[k + 3], KEYS[k + 4], ARGV[a + 4]
  local at = tonumber(ARGV[a + 1])
  if at > oldest then
    remember(KEYS[k + 2], ARGV[a + 2], ARGV[a + 3], ARGV[a + 8], ARGV[a + 9], ARGV[a + 10])
  end
  local held = call('HGET', newest, 'at')
  if not held or tonumber(held) <= at then
    call('HSET', newest, 'at', ARGV[a + 1], 'body', ARGV[a + 5], 'reading', ARGV[a + 6])
    local renewed = not held or call('TTL', newest) <= retention
    if renewed then call('EXPIRE', newest, longer) end
    local row = ARGV[a + 7]
    if watched then
      local before = call('HGET', rows, charger)
      if action_of(before) ~= action_of(row) then
        call('RPUSH', 'ml:fleet:actions', cjson.encode({rows, charger, before or '', row}))
        call('EXPIRE', 'ml:fleet:actions', 86400)
      end
    end
    call('HSET', rows, charger, row)
    if call('ZADD', changed, math.floor(now * 1000), charger) == 1 or renewed then
      call('EXPIRE', changed, longer)
      call('EXPIRE', rows, longer)
      local risk = sub(rows, 1, -5) .. 'risk'
      if call('TTL', risk) == -1 then call('EXPIRE', risk, longer) end
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
""")


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
        version = verdict["model_version"]
        return [
            at,
            slot,
            slot + state_of(verdict, self._alert_threshold),
            verdict["charger_id"],
            body,
            encode_reading(reading, verdict["reading_timestamp"]),
            encode_row(verdict, reading, at),
            encode_past(verdict, round(at * 1000)),
            version_field(version),
            version,
        ]

    def forget_actions(self, tenant: str | None, charger_id: str | None = None) -> None:
        """Forget changed actions that are not yet announced: of a charger, or of all chargers of a tenant."""
        rows = rows_key(tenant)
        for noted in cast(list[bytes], self._redis.lrange(ACTIONS_KEY, 0, -1)):
            key, charger, *_ = orjson.loads(noted)
            if key == rows and charger_id in (None, charger):
                self._redis.lrem(ACTIONS_KEY, 0, cast(str, noted))

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


def tenant_of(key: str) -> str | None:
    """The tenant of a `rows_key`."""
    _, first, *rest = key.split(":")
    return rest[0] if first == "tenant" else None
