"""What threads of one process wait for: readings, each once whoever asks for it, and places to wait in."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from errors import QueueFull, ServiceError
from models.reading import Kind, Reading
from tasks.messages import Answer, Ask

# Kind, tenant, fingerprint: what makes two questions the same.
Key = tuple[Kind, str | None, str]


@dataclass(slots=True, eq=False)
class Entry:
    """One reading that somebody waits for. `deadline` is `time.monotonic()` seconds.

    `outcome` is the answer of cache or worker, or the error in its place.
    """

    ask: Ask
    deadline: float
    outcome: Answer | ServiceError | None = None
    waiters: list[threading.Lock] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return self.ask.kind, self.ask.tenant, self.ask.fingerprint


class Waiter:
    """One thread's wait for an entry. A bare lock: `threading.Event` is a condition, a lock and a list."""

    def __init__(self, entry: Entry) -> None:
        self.entry: Final = entry
        self._lock = threading.Lock()
        self._lock.acquire()
        entry.waiters.append(self._lock)

    def wait(self, deadline: float) -> Answer | ServiceError | None:
        """The outcome, or None at the deadline. Blocks until one of both."""
        if self.entry.outcome is None:
            self._lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        return self.entry.outcome


class Entries:
    """The readings that somebody waits for, by key (single flight). Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Key, Entry] = {}

    def join(
        self, kind: Kind, tenant: str | None, reading: Reading, fingerprint: str, deadline: float
    ) -> tuple[Waiter, bool]:
        """A wait for this reading's entry; and whether that is new, so that somebody must get its outcome."""
        with self._lock:
            entry = self._entries.get((kind, tenant, fingerprint))
            if entry is not None:
                return Waiter(entry), False
            expires_at = time.time() + (deadline - time.monotonic())
            entry = Entry(Ask(kind, tenant, reading, fingerprint, expires_at), deadline)
            self._entries[entry.key] = entry
            return Waiter(entry), True

    def settle(self, entry: Entry, outcome: Answer | ServiceError) -> None:
        """Wake all who wait for it. The first outcome counts: of two sendings both may be answered."""
        with self._lock:
            if entry.outcome is not None:
                return
            entry.outcome = outcome
            if self._entries.get(entry.key) is entry:
                del self._entries[entry.key]
        for lock in entry.waiters:
            lock.release()

    def forget(self, entry: Entry) -> None:
        """Nobody waits for it any more; whoever asks the same begins anew."""
        with self._lock:
            if self._entries.get(entry.key) is entry:
                del self._entries[entry.key]


class Places:
    """So many threads may wait at the same time. As a context: one place, taken on entry.

    Raises `QueueFull` when all are taken.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()
        self.taken = 0

    def __enter__(self) -> None:
        with self._lock:
            if self.taken >= self._number:
                raise QueueFull("Too many requests are waiting already.")
            self.taken += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self.taken -= 1
