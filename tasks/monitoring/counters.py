"""Count vectors in Redis that many processes add to. Each is one string of 64-bit integers.

A hash would need a field per count, some seventy bytes instead of eight. Adding is one atomic command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import numpy as np
from redis import Redis
from redis.client import Pipeline

from models.features.columns import Ints

_TYPE: Final = "i64"
_STORED: Final = ">i8"  # Redis numbers bits from the most significant one


def add(pipeline: Pipeline, key: str, counts: Ints, *, ttl_s: int) -> None:
    """Queue on `pipeline` the addition of `counts` to `key`, with a TTL of `ttl_s`. Sends nothing."""
    command: list[str | int] = ["BITFIELD", key]
    for index in np.flatnonzero(counts).tolist():
        command += ["INCRBY", _TYPE, f"#{index}", int(counts[index])]
    if len(command) > 2:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped there
        pipeline.expire(key, ttl_s)


def total(redis: Redis, keys: Sequence[str], *, length: int) -> Ints:
    """Sum of the vectors under `keys` [length]; missing keys count as zero. Raises `redis.RedisError`."""
    result = np.zeros(length, np.int64)
    for raw in cast(list[bytes | None], redis.mget(keys)):
        if raw is not None:
            counts = np.frombuffer(raw, _STORED)
            result[: len(counts)] += counts
    return result
