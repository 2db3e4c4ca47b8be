"""Looks of committed dead letters on their way to Redis.

The loop's thread notes them. The heartbeat's thread stores them, so that the loop never waits for Redis.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Final

import orjson
from redis import Redis

from consumers.kafka.offsets import PendingRecord
from tasks.storage import redis_clock
from tasks.storage.dead_letter_looks import MAX_TEXT_BYTES, DeadLetterLook, DeadLetterLooks

# Noted and not stored yet, while Redis is away. The oldest are dropped.
MOST_NOTED: Final = 1_000
# A larger value is not decoded: its tenant is unknown.
MAX_DECODED_BYTES: Final = 65_536
_MAX_KEY_BYTES: Final = 256
_TENANT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class NotedDeadLetters:
    """The looks of one process. `note` and `store` may run in two threads."""

    def __init__(self, redis: Redis) -> None:
        self._looks = DeadLetterLooks(redis)
        self._noted: deque[DeadLetterLook] = deque(maxlen=MOST_NOTED)
        # Taken from there by the heartbeat's thread alone.
        self._unstored: deque[DeadLetterLook] = deque(maxlen=MOST_NOTED)

    def note(self, entries: Iterable[PendingRecord]) -> None:
        """Note the dead letters among records that have been committed. Does not block."""
        self._noted.extend([look_of(entry) for entry in entries if entry.is_dead_letter])

    def store(self) -> None:
        """Store the noted looks. After a `redis.RedisError` the next call stores them."""
        while self._noted:
            self._unstored.append(self._noted.popleft())
        if self._unstored:
            self._looks.add(self._unstored, now=redis_clock.now())
            self._unstored.clear()


def look_of(entry: PendingRecord) -> DeadLetterLook:
    """Return the look of a record that became a dead letter."""
    received = entry.received
    (letter,) = entry.outcomes or ()
    said = {name: content.decode("utf-8", "replace") for name, content in letter.headers if name[:2] == "x-"}
    value = received.value or b""
    return DeadLetterLook(
        code=said["x-error-code"],
        reason=said["x-error-reason"],
        topic=received.topic,
        partition=received.partition,
        offset=received.offset,
        at=redis_clock.now(),
        tenant=_tenant_of(value),
        key=(received.key or b"")[:_MAX_KEY_BYTES].decode("utf-8", "replace"),
        text=value[:MAX_TEXT_BYTES].decode("utf-8", "replace"),
        size_bytes=int(said.get("x-origin-length", len(value))),
        attempts=int(said["x-attempts"]),
    )


def _tenant_of(value: bytes) -> str | None:
    """The tenant that a reading or an OCPP event names; None if it names no valid one."""
    if len(value) > MAX_DECODED_BYTES:
        return None
    try:
        document = orjson.loads(value)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    names = ("tenant_id", "operator_id", "tenantId")
    named = [document[name] for name in names if document.get(name) is not None]
    # As for readings: the first one counts, also if it is wrong.
    return named[0] if named and isinstance(named[0], str) and _TENANT.fullmatch(named[0]) else None
