"""Choose the rows per chunk: about a quarter of a second's work, at the recent pace of that job kind.

Smaller chunks cost more per row. Larger ones make cancelling, sharing and recovery slower.
"""

from __future__ import annotations

import math
from typing import Final, cast

from redis import Redis

CHUNK_S: Final = 0.25
MIN_ROWS: Final = 100
# Used before anything was measured: scoring with history, on a slow machine.
FIRST_ROW_S: Final = 250e-6
SMOOTHING: Final = 0.3
PACE_KEY: Final = "ml:jobs:pace"
EXPIRY_S: Final = 86_400


class ChunkSizer:
    """Measured seconds per row, by job kind, in one Redis. Methods raise `redis.RedisError`."""

    def __init__(self, redis: Redis, most_rows: int) -> None:
        self._redis = redis
        self._most_rows = most_rows

    def chunk_rows(self, kind: str, *, rows: float, processes: int) -> int:
        """Rows per chunk for a new job of about `rows` rows. A small job is split over all `processes`."""
        known = cast(bytes | None, self._redis.hget(PACE_KEY, kind))
        row_s = float(known) if known else FIRST_ROW_S
        most = min(int(CHUNK_S / max(row_s, 1e-6)), self._most_rows, math.ceil(rows / processes))
        return max(most, min(MIN_ROWS, self._most_rows))

    def note(self, kind: str, rows: int, seconds: float) -> None:
        """Update the pace with a chunk's duration. Small chunks are ignored as unrepresentative."""
        if rows < MIN_ROWS:
            return
        known = cast(bytes | None, self._redis.hget(PACE_KEY, kind))
        row_s = seconds / rows
        smoothed = row_s if known is None else (1 - SMOOTHING) * float(known) + SMOOTHING * row_s
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(PACE_KEY, kind, smoothed)
        pipeline.expire(PACE_KEY, EXPIRY_S)
        pipeline.execute()
