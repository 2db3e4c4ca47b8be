"""The queue of requests that need a thread, on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from errors import QueueFull

# Longer than a short burst, and well within the callers' time-out of 5 s.
WAIT_S: Final = 2.0
# Each may hold a body of 64 kB.
MOST_WAITING: Final = 256


class ThreadQueue:
    """Admit as many requests at once as there are threads. Use it on one event loop."""

    def __init__(self, threads: int, *, wait_s: float = WAIT_S) -> None:
        self._free = asyncio.Semaphore(threads)
        self._waiting = 0
        self._wait_s = wait_s

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have a thread free within the context. Waits for one, for 2 s at most.

        Raises `QueueFull` if none becomes free, and at once if too many requests wait already.
        """
        if self._waiting >= MOST_WAITING:
            raise QueueFull("threads")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise QueueFull("threads") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
