"""Requests to the consumers: erase the state of a charger or of a tenant.

A consumer holds alert or OCPP state in memory and in a compacted topic, and nobody else writes there. A
request stays in Redis until the owner of each partition has erased its part, so it also reaches a consumer
that starts later. It holds no id: consumers compare SHA-256 digests.

One hash per role: a field per request with its digest, and a field per request and partition that is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, cast

import orjson
from redis import Redis
from redis.client import Pipeline

# Roles of consumers, as in their heartbeats, and the state that they hold.
STATE_BY_ROLE: Final = {"consumer": "alerts", "ocpp": "ocpp"}

# Note partitions as done. The request ends with the last of them.
_DONE = """
local id, of = ARGV[1], tonumber(ARGV[2])
if redis.call('HEXISTS', KEYS[1], id) == 0 then return 0 end
for i = 3, #ARGV do redis.call('HSET', KEYS[1], id .. ':' .. ARGV[i], 1) end
for number = 0, of - 1 do
  if redis.call('HEXISTS', KEYS[1], id .. ':' .. number) == 0 then return 0 end
end
local fields = {id}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, #id + 1) == id .. ':' then table.insert(fields, field) end
end
redis.call('HDEL', KEYS[1], unpack(fields))
return 1
"""


def digest_of(tenant: str | None, charger_id: str | None) -> str:
    """The digest of a charger of a tenant, or with `charger_id` None of a whole tenant."""
    return hashlib.sha256(orjson.dumps([tenant, charger_id])).hexdigest()


@dataclass(frozen=True, slots=True)
class StateErasure:
    """One request. `done` are the numbers of the partitions whose state has been erased."""

    request_id: str
    digest: str
    done: frozenset[int]

    def concerns(self, tenant: str | None, charger_id: str) -> bool:
        """Whether the state of this charger is to be erased."""
        return self.digest in (digest_of(tenant, charger_id), digest_of(tenant, None))


class StateErasures:
    """The requests in one Redis server. Methods raise `redis.RedisError`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def request(
        self, pipeline: Pipeline, request_id: str, tenant: str | None, charger_id: str | None
    ) -> None:
        """Queue a request to all roles on `pipeline`."""
        for role in STATE_BY_ROLE:
            pipeline.hset(_key(role), request_id, digest_of(tenant, charger_id))

    def is_pending(self, role: str, request_id: str) -> bool:
        """Whether the consumers of a role have not yet erased all state that a request names."""
        return bool(self._redis.hexists(_key(role), request_id))

    def pending(self, role: str) -> list[StateErasure]:
        """All requests that the consumers of a role have not completed."""
        digests: dict[str, str] = {}
        done: dict[str, set[int]] = {}
        for raw, value in cast(dict[bytes, bytes], self._redis.hgetall(_key(role))).items():
            request_id, _, number = raw.decode().partition(":")
            if number:
                done.setdefault(request_id, set()).add(int(number))
            else:
                digests[request_id] = value.decode()
        return [
            StateErasure(request_id, digest, frozenset(done.get(request_id, ())))
            for request_id, digest in digests.items()
        ]

    def note_done(self, role: str, request_id: str, partitions: Collection[int], *, of: int) -> None:
        """Note that the state of these partitions has been erased. The topic has `of` partitions."""
        self._redis.eval(_DONE, 1, _key(role), request_id, of, *partitions)


def _key(role: str) -> str:
    return f"ml:erasures:{role}"
