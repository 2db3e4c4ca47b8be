"""Scored readings that wait to be looked at again, in memory, bounded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from models.features.columns import Entries
from readings.reading import Reading

# A scored reading and the past that it was scored with.
Seen = tuple[Reading, Entries]

# Readings looked at in one go: about 2 ms during which this process answers nobody (one interpreter lock).
CHUNK: Final = 8


class Backlog:
    """First in, first out; one thread puts in, one takes out. What finds no place is counted and let go."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Seen] = deque()
        self._dropped = 0

    def put(self, seen: Seen) -> None:
        """Never blocks, never fails."""
        if len(self._waiting) < self._limit:
            self._waiting.append(seen)
        else:
            self._dropped += 1

    def clear(self) -> None:
        self._waiting.clear()
        self._dropped = 0

    def take_dropped(self) -> int:
        """How many found no place since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def spend(self, cpu_s: float, look: Callable[[Sequence[Seen]], None]) -> None:
        """Have `look` called with a few at a time until none wait or `cpu_s` of this thread are spent."""
        until = time.thread_time() + cpu_s
        while self._waiting and time.thread_time() < until:
            look([self._waiting.popleft() for _ in range(min(CHUNK, len(self._waiting)))])
            time.sleep(0)  # whoever waits for the interpreter goes first
