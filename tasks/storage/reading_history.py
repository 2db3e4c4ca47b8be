"""The recent past of each charger, as the models want it: the first reading of each 12-hour slot, 30 days.

One Redis hash for each charger and tenant, a field for each slot: bounded whatever a charger sends, and in
event-time order whatever the order of arrival. Single predictions and the stream add to it, batch jobs only
read. A reading's features use older entries alone, so that a repeat gets the same answer and adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from models.features.columns import HistoryEntries
from models.features.history_features import MAX_AGE_S, SLOT_S
from readings.reading import Reading
from tasks.storage.redis_connection import Command, PinnedConnection, for_each, tenant_prefix

SLOTS: Final = int(MAX_AGE_S / SLOT_S) + 2
# A charger that has said nothing for so long has no past that counts.
EXPIRY_S: Final = int(MAX_AGE_S) + 86_400

FIELDS: Final = 8
NO_ENTRIES: Final = HistoryEntries.of(())

NO_SLOTS: Final[dict[int, list[Any]]] = {}
# For more chargers than this one script asks, which says nothing of those that have no past: a call for each
# costs a tenth of what scoring does.
FEW: Final = 64
# A script keeps everybody else waiting, for a third of a millisecond.
MOST_AT_ONCE: Final = 512

Asker = tuple[str | None, str]  # tenant, charger

# Keep the earliest reading of its slot; drop the slots that no newer reading can use.
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
    """Past readings of one Redis server. Methods that ask raise `redis.RedisError`."""

    def __init__(self, connection: PinnedConnection) -> None:
        self._connection = connection

    def of(
        self, readings: Sequence[Reading], tenants: Sequence[str | None], *, among_themselves: bool = False
    ) -> list[HistoryEntries]:
        """For each reading the known past of its charger, in one round trip.

        With `among_themselves` what stands in `readings` for the same charger counts too: a later one of a
        batch sees the earlier one. Entries that are not older than their reading are for the models to
        leave out; of a slot its earliest entry is enough, for whatever is older than the reading lies in an
        older slot or is that entry.
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
        """What is kept of those of whom anything is."""
        keys = [_key(tenant, charger_id) for tenant, charger_id in askers]
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
        """The commands that add readings, each with its tenant, to the past of their chargers."""
        return for_each(
            _ADD,
            [SLOTS, EXPIRY_S],
            [
                (
                    [_key(tenant, reading.charger_id)],
                    [_slot(reading), reading.timestamp.timestamp(), orjson.dumps(_history_entry(reading))],
                )
                for tenant, reading in readings
            ],
        )


def _slot(reading: Reading) -> int:
    return int(reading.timestamp.timestamp() // SLOT_S)


def _key(tenant: str | None, charger_id: str) -> str:
    return f"{tenant_prefix(tenant)}readings:{charger_id}"


def _history_entry(reading: Reading) -> list[Any]:
    """The fields that features need, in the order of `HistoryEntries`; the script reads the time first."""
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
    """Entries as columns. A ninth field, which older releases wrote, is left out."""
    if not entries:
        return NO_ENTRIES
    return HistoryEntries(*list(zip(*entries, strict=False))[:FIELDS])
