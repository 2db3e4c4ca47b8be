"""Estimate how much of Redis's memory each kind of key uses.

Redis has no such figure. A sample of random keys is measured with `MEMORY USAGE`, and their mean sizes are
multiplied by the number of keys. Queues are few and can be large, so they are measured themselves.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from redis import Redis

from tasks.messaging.names import Queues

SAMPLED_KEYS: Final = 400
_OWN_KEY: Final = re.compile(rb"ml:(?:tenant:[^:]*:)?([a-z]+)")
KINDS: Final = {
    b"prediction": "cache",
    b"readings": "history",
    b"fleet": "fleet",
    b"job": "jobs",
    b"jobs": "jobs",
    b"idempotency": "jobs",
    b"outcomes": "outcomes",
    b"drift": "monitoring",
    b"shadow": "monitoring",
    b"webhook": "webhooks",
    b"webhooks": "webhooks",
}
QUEUED: Final = "queues"
OTHER: Final = "other"
_QUEUES: Final = (Queues.SINGLE, Queues.BATCH, Queues.STREAM, Queues.NOTIFY)


class Memory(NamedTuple):
    """Memory of one Redis server in bytes. `limit` is None without `maxmemory`."""

    used: int
    limit: int | None
    by_kind: dict[str, float]


def measure(redis: Redis) -> Memory:
    """The memory of a server. Blocks for two round trips. Raises `redis.RedisError`."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.info("memory")
    pipeline.dbsize()
    for queue in _QUEUES:
        pipeline.memory_usage(queue)
    for _ in range(SAMPLED_KEYS):
        pipeline.randomkey()
    info, number, *rest = pipeline.execute()
    queues, keys = rest[: len(_QUEUES)], rest[len(_QUEUES) :]
    sampled = [key for key in keys if key is not None and kind_of(key) != QUEUED]
    for key in sampled:
        pipeline.memory_usage(key)
    sizes = pipeline.execute() if sampled else []
    by_kind = dict.fromkeys((*sorted({*KINDS.values()}), QUEUED, OTHER), 0.0)
    by_kind[QUEUED] = sum(size or 0 for size in queues)
    for key, size in zip(sampled, sizes, strict=True):
        by_kind[kind_of(key)] += (size or 0) * number / len(sampled)
    return Memory(info["used_memory"], info["maxmemory"] or None, by_kind)


def kind_of(key: bytes) -> str:
    """The kind of a Redis key, by its name."""
    if key.decode(errors="replace") in _QUEUES:
        return QUEUED
    found = _OWN_KEY.match(key)
    return KINDS.get(found[1], OTHER) if found else OTHER
