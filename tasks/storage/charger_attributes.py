"""The stored attributes of chargers, the newest statement of each.

A tenant has one hash, with a field for each charger. A field is a JSON list: the time of the statement, and
the values in the order of `ORDER`, without names. That is about 100 bytes. A key of its own for each charger
would need 100 bytes more. A field expires `EXPIRY_S` after the last statement. Each change deletes two
expired fields at most, of two that it draws; the hash expires as a whole without changes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import orjson
from redis import Redis, WatchError

from readings.attributes import Attributes
from tasks.storage import redis_clock
from tasks.storage.redis_connection import MOST_AT_ONCE, Things, for_each, tenant_prefix

EXPIRY_S: Final = 2 * 365 * 86_400
# The same statement is stored again after this time, so that it does not expire.
RENEWED_AFTER_S: Final = 30 * 86_400
# Append only: the position of a value is its name.
ORDER: Final = (
    "site_id",
    "vendor",
    "model",
    "firmware",
    "connector_types",
    "rated_power_kw",
    "installed_at",
    "name",
)
READ_AT_ONCE: Final = 1_000
# Attempts to replace a value that others replace at the same time, and the growth of the pause between them.
ATTEMPTS: Final = 16
RETRY_S: Final = 0.005

# How long `restated_key` keeps a change, for the copies of the fleet in web processes. They live shorter if
# they are not read.
RESTATED_S: Final = 3_600

# Replaces a field if it has not changed since it was read; an empty text is no field. Returns the positions
# of those that have. Two fields that are drawn at random are deleted if they have expired.
_REPLACE = """
local call, expiry, oldest, kept = redis.call, ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = call('TIME')
local ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now = string.format('%.0f', ms)
local refused = {}
for i = 0, #KEYS / 2 - 1 do
  local held, changed = KEYS[2 * i + 1], KEYS[2 * i + 2]
  local charger, old, new = ARGV[3 * i + 4], ARGV[3 * i + 5], ARGV[3 * i + 6]
  if (call('HGET', held, charger) or '') ~= old then
    refused[#refused + 1] = i
  else
    if new == '' then call('HDEL', held, charger) else call('HSET', held, charger, new) end
    call('ZADD', changed, now, charger)
  end
end
for i = 1, #KEYS, 2 do
  if KEYS[i] ~= KEYS[i - 2] then
    local drawn = call('HRANDFIELD', KEYS[i], 2, 'WITHVALUES')
    for j = 1, #drawn, 2 do
      local at = tonumber(string.match(drawn[j + 1], '^%[(%d+)'))
      if not at or at < oldest then
        call('HDEL', KEYS[i], drawn[j])
        call('ZADD', KEYS[i + 1], now, drawn[j])
      end
    end
    call('EXPIRE', KEYS[i], expiry)
    call('ZREMRANGEBYSCORE', KEYS[i + 1], '-inf', string.format('%.0f', ms - kept * 1000))
    call('EXPIRE', KEYS[i + 1], kept)
  end
end
return refused
"""


class Statement(NamedTuple):
    """Attributes that are stated of a charger. None removes an attribute.

    `as_of` is the time of a reading in epoch seconds: one that is older than the stored statement changes
    nothing. None is now, and always counts. With `is_whole`, attributes that are not there are removed too;
    otherwise they stay.
    """

    tenant: str | None
    charger_id: str
    values: Mapping[str, Any]
    as_of: float | None = None
    is_whole: bool = False


class _Change(NamedTuple):
    """A field to replace, and the statements that do it."""

    statements: Sequence[Statement]
    old: bytes
    new: bytes
    is_renewal: bool


class AttributeStore:
    """Attributes in one Redis server. Methods raise `redis.RedisError`.

    `delete_cached` deletes the cached verdicts of the given chargers of a tenant, which were made without
    their new attributes.
    """

    def __init__(self, redis: Redis, delete_cached: Callable[[str | None, Collection[str]], object]) -> None:
        self._redis = redis
        self._delete_cached = delete_cached

    def get(self, tenant: str | None, charger_id: str) -> Attributes | None:
        """The attributes of a charger; None if none are stored."""
        return decoded(cast("bytes | None", self._redis.hget(attributes_key(tenant), charger_id)))

    def state(self, statements: Sequence[Statement]) -> None:
        """Store statements. One that is older than the stored one changes nothing, nor does the same again.

        Of several on a charger the last one counts in each attribute. Blocks for one round trip if nothing
        changes, for three otherwise, a thousand statements at a time.
        """
        for start in range(0, len(statements), READ_AT_ONCE):
            open_ = statements[start : start + READ_AT_ONCE]
            for attempt in range(ATTEMPTS):
                open_ = self._replace(self._changes(open_))
                if not open_:
                    break
                time.sleep(random.uniform(0, attempt * RETRY_S))
            else:
                raise WatchError("The attributes of a charger change all the time.")

    def erase(self, tenant: str | None, charger_id: str) -> int:
        """Delete the attributes of a charger. Returns the number of chargers that had some: 0 or 1."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hdel(attributes_key(tenant), charger_id)
            pipeline.zrem(restated_key(tenant), charger_id)
            return int(pipeline.execute()[0])

    def erase_all(self, tenant: str) -> int:
        """Delete all attributes of a tenant. Returns the number of chargers that had some."""
        key = attributes_key(tenant)
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hlen(key)
            pipeline.unlink(key)
            return int(pipeline.execute()[0])

    def _changes(self, statements: Sequence[Statement]) -> list[_Change]:
        """The changes that the statements make, one at most for each charger."""
        by_charger: dict[tuple[str | None, str], list[Statement]] = {}
        for one in statements:
            by_charger.setdefault((one.tenant, one.charger_id), []).append(one)
        changes = (
            _change(its, old or b"")
            for its, old in zip(by_charger.values(), self._stored(by_charger), strict=True)
        )
        return [change for change in changes if change is not None]

    def _stored(self, chargers: Iterable[tuple[str | None, str]]) -> list[bytes | None]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for tenant, charger_id in chargers:
                pipeline.hget(attributes_key(tenant), charger_id)
            return cast("list[bytes | None]", pipeline.execute())

    def _replace(self, changes: Sequence[_Change]) -> list[Statement]:
        """Store changes. Returns the statements on chargers that another client has changed meanwhile."""
        if not changes:
            return []
        cached: dict[str | None, list[str]] = {}
        for change in changes:
            if not change.is_renewal:
                cached.setdefault(change.statements[0].tenant, []).append(change.statements[0].charger_id)
        # First, so that a repetition after an outage of the cache finds the change undone, and deletes them.
        for tenant, chargers in cached.items():
            self._delete_cached(tenant, chargers)
        things: Things = [
            (
                [attributes_key(tenant), restated_key(tenant)],
                [charger_id, change.old, change.new],
            )
            for change in changes
            for tenant, charger_id, *_ in change.statements[:1]
        ]
        constants = [EXPIRY_S, int(redis_clock.now()) - EXPIRY_S, RESTATED_S]
        with self._redis.pipeline(transaction=False) as pipeline:
            for command in for_each(_REPLACE, constants, things):
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped there
            refused = pipeline.execute()
        return [
            statement
            for number, positions in enumerate(refused)
            for place in positions
            for statement in changes[number * MOST_AT_ONCE + place].statements
        ]


def _change(statements: Sequence[Statement], old: bytes) -> _Change | None:
    """The change that statements on one charger make to its stored field; None if they make none."""
    now = redis_clock.now()
    held_at, held = _decode(old) if old else (0.0, {})
    if held_at < now - EXPIRY_S:
        held = {}
    as_of, values = held_at, held
    for one in sorted(statements, key=lambda one: now if one.as_of is None else one.as_of):
        its_time = max(now, as_of) if one.as_of is None else min(one.as_of, now)
        if its_time < max(as_of, now - EXPIRY_S):
            continue
        as_of = its_time
        stated = {**({} if one.is_whole else values), **one.values}
        values = {name: value for name, value in stated.items() if value is not None}
    is_same = values == held
    if is_same and (not values or as_of - held_at < RENEWED_AFTER_S):
        return None
    new = orjson.dumps([int(as_of), *(values.get(name) for name in ORDER)]) if values else b""
    return _Change(statements, old, new, is_renewal=is_same)


def decoded(field: bytes | None) -> Attributes | None:
    """The attributes in a stored field; None if there are none, or they have expired."""
    if not field:
        return None
    as_of, values = _decode(field)
    return values if as_of >= redis_clock.now() - EXPIRY_S else None


def _decode(field: bytes) -> tuple[float, Attributes]:
    as_of, *values = orjson.loads(field)
    # A newer release may have added values, which are lost if this one stores the field.
    return as_of, {name: value for name, value in zip(ORDER, values, strict=False) if value is not None}


def attributes_key(tenant: str | None) -> str:
    """Key of the attributes of a tenant's chargers."""
    return f"{tenant_prefix(tenant)}fleet:attributes"


def restated_key(tenant: str | None) -> str:
    """Key of the chargers whose attributes changed in the last hour, by time in ms of Redis' clock.

    It is not part of `fleet:changed`: attributes do not prolong the retention of verdicts.
    """
    return f"{tenant_prefix(tenant)}fleet:restated"
