"""Delete all keys of a tenant, which have its prefix, in bounded steps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from typing import Final, cast

from redis import Redis

from tasks.storage.redis_connection import tenant_prefix

SCANNED_AT_ONCE: Final = 1_000
# The name of a key after the prefix begins with one of these; counted under this name in a receipt.
COUNTED_AS: Final = {"prediction": "cache", "fleet": "fleet", "readings": "history"}


def erase_tenant_keys(
    redis: Redis, tenant: str, *, cursor: int, until: float, keep: Collection[str] = ()
) -> tuple[int, Counter[str]]:
    """Delete the keys of a tenant, except those in `keep`, and count them by kind.

    Continues a SCAN at `cursor`, and returns the cursor of the rest; 0 if there is none. Stops early at
    `until` (`time.monotonic()`). Blocks Redis for one bounded step at a time. Raises `redis.RedisError`.
    """
    prefix = tenant_prefix(tenant)
    kept = {name.encode() for name in keep}
    deleted: Counter[str] = Counter()
    while True:
        cursor, found = cast(
            tuple[int, list[bytes]],
            redis.scan(cursor, match=f"{prefix}*", count=SCANNED_AT_ONCE),
        )
        names = [name for name in found if name not in kept]
        if names:
            redis.unlink(*names)
            deleted.update(_kind(name, prefix) for name in names)
        if cursor == 0 or time.monotonic() >= until:
            return cursor, deleted


def _kind(name: bytes, prefix: str) -> str:
    first = name[len(prefix) :].split(b":", 1)[0].decode(errors="replace")
    return COUNTED_AS.get(first, "other")
