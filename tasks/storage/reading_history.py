"""The recent readings of each charger, for history features: the first of each 12-hour slot, 30 days.

One Redis hash per charger and tenant, with one field per slot. Its size is bounded, and it is in event-time
order regardless of arrival. Single predictions and the stream write to it; batch jobs only read. Features use
older entries only, so a repeated reading gets the same verdict and adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, cast

import orjson
from redis import Redis

from models.features.columns import HistoryEntries
from models.features.history_features import MAX_AGE_S, SLOT_S
from readings.reading import Reading
from tasks.storage.redis_connection import Command, PinnedConnection, for_each, tenant_prefix

SLOTS: Final = int(MAX_AGE_S / SLOT_S) + 2
# After this long without a reading, no entry of a charger is young enough to be used.
EXPIRY_S: Final = int(MAX_AGE_S) + 86_400

FIELDS: Final = 8
NO_ENTRIES: Final = HistoryEntries.of(())

NO_SLOTS: Final[dict[int, list[Any]]] = {}
# Above this number of chargers, one script looks up all and returns only those with entries. A command for
# each would cost a tenth of the scoring time.
FEW: Final = 64
# Redis runs no other command while a script runs: a third of a millisecond for this many chargers.
MOST_AT_ONCE: Final = 512

Asker = tuple[str | None, str]  # tenant, charger

# Keep the earliest reading of its slot. Drop slots that no newer reading can use.
_ADD = """
local most, expiry = tonumber(ARGV[1]), ARGV[2]
for i, key in ipairs(KEYS) do
  local slot, at, entry = ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2]
  local held = redis.call('HGET', key, slot)
  if not held or tonumber(string.match(held, '^%[([^,]+)')) > tonumber(at) then
    redis.call('HSET', key, slot, entry)
    redis.call('EXPIRE', key, expiry)
    if not held and redis.call('HLEN', key) > most then
      local oldest
      for _, field in ipairs(redis.call('HKEYS', key)) do
        if not oldest or tonumber(field) < tonumber(oldest) then oldest = field end
      end
      redis.call('HDEL', key, oldest)
    end
  end
end
"""

_KNOWN = """
local known = {}
for i, key in ipairs(KEYS) do
  local values = redis.call('HVALS', key)
  if #values > 0 then known[#known + 1] = {i - 1, values} end
end
return known
"""


class RecentHistory:
    """Recent readings in one Redis server. Reading methods raise `redis.RedisError`."""

    def __init__(self, connection: PinnedConnection) -> None:
        self._connection = connection

    def of(
        self, readings: Sequence[Reading], tenants: Sequence[str | None], *, among_themselves: bool = False
    ) -> list[HistoryEntries]:
        """The stored history of each reading's charger, in order. Blocks for one round trip.

        With `among_themselves`, the given readings count as entries too, so a later reading of a batch sees
        an earlier one. Entries that are not older than their reading are included; the models drop them.

        The earliest entry of a slot is enough. Every entry older than the reading is in an older slot, or is
        itself the earliest of its slot.
        """
        askers: list[Asker] = [
            (tenant, reading.charger_id) for tenant, reading in zip(tenants, readings, strict=True)
        ]
        distinct = list(dict.fromkeys(askers))
        past = dict.fromkeys(distinct, NO_SLOTS) | {
            asker: {int(entry[0] // SLOT_S): entry for entry in map(orjson.loads, values)}
            for asker, values in self._stored(distinct)
        }
        if among_themselves and len(distinct) < len(askers):
            for asker, reading in zip(askers, readings, strict=True):
                own = _history_entry(reading)
                slots = past[asker] = past[asker] or {}
                held = slots.setdefault(_slot(reading), own)
                if own[0] < held[0]:
                    slots[_slot(reading)] = own
        entries_of = {asker: _columns(list(slots.values())) for asker, slots in past.items()}
        return [entries_of[asker] for asker in askers]

    def _stored(self, askers: Sequence[Asker]) -> Iterator[tuple[Asker, list[bytes]]]:
        """The stored entries of each charger that has any."""
        keys = [readings_key(tenant, charger_id) for tenant, charger_id in askers]
        if len(keys) <= FEW:
            yield from zip(askers, self._connection.execute(*(("HVALS", key) for key in keys)), strict=True)
            return
        starts = range(0, len(keys), MOST_AT_ONCE)
        parts = (keys[start : start + MOST_AT_ONCE] for start in starts)
        commands: list[Command] = [("EVAL", _KNOWN, len(part), *part) for part in parts]
        for start, known in zip(starts, self._connection.execute(*commands), strict=True):
            for place, values in known:
                yield askers[start + place], values

    def to_store(self, readings: Sequence[tuple[str | None, Reading]]) -> list[Command]:
        """The commands that add readings, each with its tenant, to the history of their chargers."""
        return for_each(
            _ADD,
            [SLOTS, EXPIRY_S],
            [
                (
                    [readings_key(tenant, reading.charger_id)],
                    [_slot(reading), reading.timestamp.timestamp(), orjson.dumps(_history_entry(reading))],
                )
                for tenant, reading in readings
            ],
        )


class PastReading(NamedTuple):
    """A stored reading: its time in epoch seconds, and the values that plots show. None is not reported."""

    at: float
    connector_status: str
    power: float | None
    temperature: float | None
    error_codes: Sequence[str] | None


def past_readings(redis: Redis, tenant: str | None, charger_id: str) -> list[PastReading]:
    """The stored readings of a charger, oldest first. Blocks for one command; raises `redis.RedisError`."""
    values = cast("list[bytes]", redis.hvals(readings_key(tenant, charger_id)))
    entries = sorted((orjson.loads(value) for value in values), key=itemgetter(0))
    return [
        PastReading(at, status, power, temperature, codes)
        for at, status, _, power, temperature, codes, *_ in entries
    ]


def _slot(reading: Reading) -> int:
    return int(reading.timestamp.timestamp() // SLOT_S)


def readings_key(tenant: str | None, charger_id: str) -> str:
    """Key of a charger's recent readings."""
    return f"{tenant_prefix(tenant)}readings:{charger_id}"


def _history_entry(reading: Reading) -> list[Any]:
    """The fields that features need, in the order of `HistoryEntries`. The script expects the time first."""
    return [
        reading.timestamp.timestamp(),
        reading.connector_status,
        reading.energy_delivered,
        reading.power,
        reading.temperature,
        reading.error_codes,
        reading.uptime_hours,
        reading.total_sessions,
    ]


def _columns(entries: list[list[Any]]) -> HistoryEntries:
    """Entries as columns. A ninth field, written by older releases, is dropped."""
    if not entries:
        return NO_ENTRIES
    return HistoryEntries(*list(zip(*entries, strict=False))[:FIELDS])
