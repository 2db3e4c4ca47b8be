"""What callers of one process wait for: readings, each once whoever asks for it, and places to wait in.

Who waits is a thread, on a lock of its own, or a coroutine, on a future. Of coroutines however many are woken
by one call of their loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

from errors import QueueFull
from readings.reading import Kind, Reading
from tasks.messaging.messages import Answer, Ask

# Kind, tenant, fingerprint: what makes two questions the same.
Key = tuple[Kind, str | None, str]
Outcome = Answer | Exception


@dataclass(slots=True, eq=False)
class Entry:
    """One reading that somebody waits for.

    `deadline` is the latest of its callers', in `time.monotonic()` seconds. `outcome` is the answer of cache
    or worker, or the error in its place. `cached_only`: there was no place to wait for a worker.
    """

    key: Key
    ask: Ask
    deadline: float
    cached_only: bool = False
    outcome: Outcome | None = None
    threads: list[threading.Lock] = field(default_factory=list)
    coroutines: list[asyncio.Future[None]] = field(default_factory=list)


class Entries:
    """The readings that somebody waits for, by key (single flight). Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Key, Entry] = {}

    def entry(
        self, kind: Kind, tenant: str | None, reading: Reading, deadline: float, *, cached_only: bool
    ) -> tuple[Entry, bool]:
        """The entry of this reading; and whether it is new, so that somebody must get its outcome.

        Only an entry that some caller still waits for is joined, and it then lives as long as its newest
        caller: a retry after a 504 must not wait for work that has expired.
        """
        fingerprint = reading.fingerprint()
        expires_at = time.time() + (deadline - time.monotonic())
        key = kind, tenant, fingerprint
        entry = Entry(key, Ask(kind, tenant, reading, fingerprint, expires_at), deadline, cached_only)
        if cached_only:  # nobody else's: another may have a place
            return entry, True
        with self._lock:
            held = self._entries.get(key)
            if held is None or held.deadline <= time.monotonic():
                self._entries[key] = entry
                return entry, True
            held.deadline = max(held.deadline, deadline)
            held.ask = held.ask._replace(expires_at=max(held.ask.expires_at, expires_at))
        return held, False

    def wait(self, entry: Entry, deadline: float) -> Outcome | None:
        """The outcome, or None at the deadline. Blocks the thread until one of both."""
        lock = threading.Lock()
        lock.acquire()  # given back by `settle`, and only there
        with self._lock:
            if entry.outcome is not None:
                return entry.outcome
            entry.threads.append(lock)
        lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        return entry.outcome

    async def outcome(self, entry: Entry, deadline: float) -> Outcome | None:
        """The same for a coroutine."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if entry.outcome is not None:
                return entry.outcome
            entry.coroutines.append(woken)
        timer = loop.call_later(max(0.0, deadline - time.monotonic()), _wake, [woken])
        try:
            await woken
        finally:
            timer.cancel()
        return entry.outcome

    def settle(self, outcomes: Iterable[tuple[Entry, Outcome]]) -> None:
        """Wake all who wait for these. The first outcome counts: of two sendings both may be answered."""
        threads: list[threading.Lock] = []
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        with self._lock:
            for entry, outcome in outcomes:
                if entry.outcome is not None:
                    continue
                entry.outcome = outcome
                if self._entries.get(entry.key) is entry:
                    del self._entries[entry.key]
                threads += entry.threads
                for woken in entry.coroutines:
                    by_loop.setdefault(woken.get_loop(), []).append(woken)
        for lock in threads:
            lock.release()
        for loop, all_woken in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, all_woken)

    def forget_expired(self, entries: Iterable[Entry], at: float) -> list[Entry]:
        """Forget the entries whose last caller has gone by `at`; the others that have no outcome yet.

        The next identical request after that starts a new entry.
        """
        wanted: list[Entry] = []
        with self._lock:
            for entry in entries:
                if entry.outcome is not None:
                    continue
                if entry.deadline > at:
                    wanted.append(entry)
                elif self._entries.get(entry.key) is entry:
                    del self._entries[entry.key]
        return wanted


class Places:
    """So many may wait at the same time. As a context: one place, taken on entry.

    Raises `QueueFull` when all are taken.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()
        self.taken = 0

    def take(self) -> bool:
        """Whether there was one."""
        with self._lock:
            if self.taken >= self._number:
                return False
            self.taken += 1
            return True

    def give_back(self) -> None:
        with self._lock:
            self.taken -= 1

    def __enter__(self) -> None:
        if not self.take():
            raise QueueFull("Too many requests are waiting already.")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()


def _wake(all_woken: list[asyncio.Future[None]]) -> None:
    for woken in all_woken:
        if not woken.done():
            woken.set_result(None)
