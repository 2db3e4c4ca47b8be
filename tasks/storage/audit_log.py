"""The audit log: which key did what, when, from where. Each entry goes to a file and to Redis.

The file is this host's and is never cut here. Redis has the newest entries of all hosts, for the API. An
entry has ids and names, never a key or a reading.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import orjson
from redis import Redis, RedisError

from private_files import FOR_OWNER, make_folder
from readings.reading import epoch_rfc3339

log = logging.getLogger(__name__)

AUDIT_KEY: Final = "ml:audit"
MAX_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action. `key_id` is `settings` for keys of the settings, empty for a command and for a wrong key.

    `origin` is the caller's address, or the user and host of a command. `status` is that of the HTTP answer,
    None for a command. `at` is in epoch seconds.
    """

    action: str
    key_id: str
    key_name: str
    origin: str
    tenant: str | None = None
    status: int | None = None
    request_id: str | None = None
    at: float = field(default_factory=time.time)

    def encoded(self) -> bytes:
        """The entry as one line of JSON."""
        return orjson.dumps({**asdict(self), "at": epoch_rfc3339(self.at)})


class AuditLog:
    """The audit log of one process. Thread-safe."""

    def __init__(self, file: Path, redis: Redis) -> None:
        self._file = file
        self._redis = redis

    def add(self, entry: AuditEntry) -> None:
        """Write an entry. Blocks for one Redis command. Raises nothing: the action has been carried out.

        What cannot be written is in the process's log.
        """
        line = entry.encoded()
        try:
            self._append(line + b"\n")
        except OSError as error:
            log.error("audit entry %s is not in %s: %s", line.decode(), self._file, error.strerror)
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.lpush(AUDIT_KEY, cast(Any, line))
                pipeline.ltrim(AUDIT_KEY, 0, MAX_KEPT - 1)
                pipeline.execute()
        except RedisError as error:
            log.warning("audit entry %s is not in Redis: %s", line.decode(), error)

    def newest(self, *, offset: int, limit: int) -> tuple[list[bytes], int]:
        """Encoded entries, the newest first, and how many there are. Raises `redis.RedisError`."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.lrange(AUDIT_KEY, offset, offset + limit - 1)
            pipeline.llen(AUDIT_KEY)
            lines, total = pipeline.execute()
        return lines, total

    def _append(self, line: bytes) -> None:
        """Append a line in one write, so that lines of several processes do not mix."""
        make_folder(self._file.parent)
        file = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FOR_OWNER)
        try:
            os.write(file, line)
        finally:
            os.close(file)
