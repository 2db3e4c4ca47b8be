"""Cache look-ups of many callers, which travel to Redis together.

Natural batching as in `tasks/window.py`, in a thread of its own, so that no event loop waits for Redis: it
looks up what has come, and what comes meanwhile makes the next round trip.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from errors import QueueFull
from tasks.cache import VerdictCache
from tasks.messages import Answer
from tasks.waiting import Entries, Entry, Outcome

log = logging.getLogger(__name__)

MAX_TOGETHER: Final = 64


class Lookups:
    """Settles entries from the cache and gives `on_missing` those that are not there."""

    def __init__(
        self, cache: VerdictCache, entries: Entries, on_missing: Callable[[list[Entry]], None]
    ) -> None:
        self._cache = cache
        self._entries = entries
        self._on_missing = on_missing
        self._waiting: deque[Entry] = deque()
        self._more = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="lookups", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._more.set()
        self._thread.join(timeout=2)

    def add(self, entry: Entry) -> None:
        """Have an entry looked up, soon. Does not block."""
        self._waiting.append(entry)
        if not self._more.is_set():
            self._more.set()

    def _run(self) -> None:
        while not self._stopped:
            self._more.wait()
            self._more.clear()
            while self._waiting:
                try:
                    self._look(
                        [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_TOGETHER))]
                    )
                except Exception:
                    log.exception("readings could not be sent")

    def _look(self, together: list[Entry]) -> None:
        try:
            asks = [entry.ask for entry in together]
            found = self._cache.get_all(
                [(ask.kind, ask.reading.charger_id, ask.tenant, ask.fingerprint) for ask in asks]
            )
        except Exception:
            # Whatever is wrong with the cache, those who wait are still to be answered.
            log.exception("cache could not be read")
            found = [None] * len(together)
        settled: list[tuple[Entry, Outcome]] = []
        missing: list[Entry] = []
        for entry, body in zip(together, found, strict=True):
            if body is not None:
                settled.append((entry, Answer(body=body)))
            elif entry.cached_only:
                settled.append((entry, QueueFull("Too many requests are waiting already.")))
            else:
                missing.append(entry)
        self._entries.settle(settled)
        if missing:
            self._on_missing(missing)
