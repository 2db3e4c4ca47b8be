"""How many rows make a chunk: about a quarter of a second's work, by what chunks of that kind took lately.

Shorter chunks cost more for each row; longer ones make cancelling, sharing and recovering slower.
"""

from __future__ import annotations

import math
from typing import Final, cast

from redis import Redis

CHUNK_S: Final = 0.25
MIN_ROWS: Final = 100
# Before anything is known: scoring with history, on a slow machine.
FIRST_ROW_S: Final = 250e-6
SMOOTHING: Final = 0.3
PACE_KEY: Final = "ml:jobs:pace"
EXPIRY_S: Final = 86_400


class ChunkSizer:
    """Seconds a row by job kind, in one Redis. Methods raise `redis.RedisError`."""

    def __init__(self, redis: Redis, most_rows: int) -> None:
        self._redis = redis
        self._most_rows = most_rows

    def chunk_rows(self, kind: str, *, rows: float, processes: int) -> int:
        """Rows of the chunks of a new job of about so many `rows`: all processes get some of a small one."""
        known = cast(bytes | None, self._redis.hget(PACE_KEY, kind))
        row_s = float(known) if known else FIRST_ROW_S
        most = min(int(CHUNK_S / max(row_s, 1e-6)), self._most_rows, math.ceil(rows / processes))
        return max(most, min(MIN_ROWS, self._most_rows))

    def note(self, kind: str, rows: int, seconds: float) -> None:
        """A chunk took so long. Small ones say little of large ones, and are not counted."""
        if rows < MIN_ROWS:
            return
        known = cast(bytes | None, self._redis.hget(PACE_KEY, kind))
        row_s = seconds / rows
        smoothed = row_s if known is None else (1 - SMOOTHING) * float(known) + SMOOTHING * row_s
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(PACE_KEY, kind, smoothed)
        pipeline.expire(PACE_KEY, EXPIRY_S)
        pipeline.execute()
