"""The newest dead letters as the console shows them: source, reason, and the beginning of the text.

The dead letters themselves are in Kafka, and are the truth. A look may be missing: a consumer that dies loses
those of its last second. Headers are not stored, because they may have secrets.

One sorted set for all tenants and one per tenant, scored by time in epoch seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final, cast

import orjson
from redis import Redis

from tasks.storage.redis_connection import tenant_prefix

# Newest looks of each tenant, and of all tenants together.
MOST_LOOKS: Final = 200
LOOKS_KEPT_S: Final = 7 * 86_400
MAX_TEXT_BYTES: Final = 2_048


@dataclass(frozen=True, slots=True)
class DeadLetterLook:
    """One dead letter. `topic`, `partition` and `offset` are those of the record that failed.

    `tenant` is None without one, and if the record does not tell. `text` is the beginning of the value, of
    `size_bytes` in all. `at` is in epoch seconds.
    """

    code: str
    reason: str
    topic: str
    partition: int
    offset: int
    at: float
    tenant: str | None
    key: str
    text: str
    size_bytes: int
    attempts: int

    @property
    def origin(self) -> str:
        """The record that failed, `TOPIC:PARTITION:OFFSET`."""
        return f"{self.topic}:{self.partition}:{self.offset}"

    @classmethod
    def decoded(cls, line: bytes) -> DeadLetterLook:
        """The look of a stored line. Fields that a newer release has added are left out."""
        stored = orjson.loads(line)
        return cls(**{field.name: stored[field.name] for field in fields(cls)})

    def mentions(self, charger_id: str) -> bool:
        """Whether its key or text contains an id of a charger."""
        return charger_id in self.key or charger_id in self.text


class DeadLetterLooks:
    """The looks in one Redis server. Methods raise `redis.RedisError`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, looks: Iterable[DeadLetterLook], *, now: float) -> None:
        """Store looks in one round trip, and remove the oldest beyond the limits of number and age."""
        by_key: dict[str, dict[bytes, float]] = {}
        for look in looks:
            line = orjson.dumps(asdict(look))
            for key in {_key(None), _key(look.tenant)}:
                by_key.setdefault(key, {})[line] = look.at
        with self._redis.pipeline(transaction=False) as pipeline:
            for key, lines in by_key.items():
                pipeline.zadd(key, lines)
                pipeline.zremrangebyrank(key, 0, -MOST_LOOKS - 1)
                pipeline.zremrangebyscore(key, "-inf", now - LOOKS_KEPT_S)
                pipeline.expire(key, LOOKS_KEPT_S)
            pipeline.execute()

    def newest(self, tenant: str | None, *, now: float) -> Sequence[DeadLetterLook]:
        """The looks of a tenant, or with None of all tenants: the newest first, at most `MOST_LOOKS`."""
        lines = self._redis.zrevrangebyscore(_key(tenant), "+inf", now - LOOKS_KEPT_S)
        return [DeadLetterLook.decoded(line) for line in cast(list[bytes], lines)]

    def erase(self, tenant: str | None, charger_id: str | None) -> None:
        """Remove the looks of a tenant, or with `charger_id` those that mention a charger of it.

        Looks of an unknown tenant that mention the charger are removed too.
        """
        for key in {_key(None), _key(tenant)}:
            lines = cast(list[bytes], self._redis.zrange(key, 0, -1))
            gone = [line for line in lines if _is_of(DeadLetterLook.decoded(line), tenant, charger_id)]
            if gone:
                self._redis.zrem(key, *gone)


def _is_of(look: DeadLetterLook, tenant: str | None, charger_id: str | None) -> bool:
    if charger_id is None:
        return look.tenant == tenant
    return look.tenant in (None, tenant) and look.mentions(charger_id)


def _key(tenant: str | None) -> str:
    return f"{tenant_prefix(tenant)}dead_letters"
