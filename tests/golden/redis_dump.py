"""The keys of a Redis server as JSON values: type, decoded value, time to live."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final, cast

import zstandard
from redis import Redis

from tasks.storage.fleet_rows import ChargerHistory

# What keys are given to live, in seconds. A key's remaining time counts as the next larger of these.
LIFETIMES_S: Final = (
    15,
    30,
    60,
    300,
    600,
    1_800,
    3_600,
    86_400,
    172_800,
    691_200,
    2_592_000,
    2_617_920,
    2_661_120,
    2_678_400,
)
# A key may have lived so long when it is looked at.
LATE_S: Final = 120
# Where the name of a key says what it is worth: counts by hour, whose length depends on what is counted.
COUNTS: Final = b"ml:drift:"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


def keys_of(redis: Redis) -> set[bytes]:
    """The names of all keys."""
    return set(cast(list[bytes], redis.keys("*")))


def dump(redis: Redis, names: Collection[bytes]) -> dict[str, Any]:
    """What stands under these keys now, by their decoded names."""
    return {name.decode(): _entry(redis, name) for name in sorted(names) if redis.exists(name)}


def _entry(redis: Redis, name: bytes) -> dict[str, Any]:
    kind = cast(bytes, redis.type(name)).decode()
    remaining_s = redis.ttl(name)
    value = "<counts>" if name.startswith(COUNTS) else _value(redis, name, kind)
    return {"type": kind, "ttl_s": lifetime_s(remaining_s), "value": value}


def lifetime_s(remaining_s: int) -> int | None:
    """How long a key lives by its setting, from what remains; None for ever."""
    if remaining_s < 0:
        return None
    set_s = next((each for each in LIFETIMES_S if each >= remaining_s), remaining_s)
    return set_s if set_s - remaining_s <= LATE_S else remaining_s


def _value(redis: Redis, name: bytes, kind: str) -> Any:
    client: Any = redis  # its stubs know no bytes
    if b"fleet:past:" in name:
        held = client.hgetall(name)
        return {"past": ChargerHistory.of(held, after_ms=0).shown(alert_threshold=1.0), "fields": len(held)}
    if name.endswith(b"fleet:changed"):
        return {member.decode(): score / 1000 for member, score in client.zscan_iter(name)}
    if kind == "string":
        return decoded(client.get(name))
    if kind == "hash":
        return {field.decode(): decoded(value) for field, value in client.hgetall(name).items()}
    if kind == "list":
        return [decoded(value) for value in client.lrange(name, 0, -1)]
    if kind == "set":
        return sorted(map(decoded, client.smembers(name)))
    if kind == "zset":
        return [
            {"member": decoded(member), "score": score}
            for member, score in client.zrange(name, 0, -1, withscores=True)
        ]
    raise ValueError(f"{name!r} is a {kind}")


def decoded(raw: bytes) -> Any:
    """JSON, lines of JSON, packed or not; otherwise the text."""
    if raw.startswith(ZSTD_MAGIC):
        return {"zstd": decoded(zstandard.ZstdDecompressor().decompress(raw, max_output_size=1 << 24))}
    if raw.startswith((b"{", b"[")):
        lines = raw.split(b"\n")
        values = [json.loads(line) for line in lines]
        return values[0] if len(lines) == 1 else {"lines": values}
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "<bytes>"
