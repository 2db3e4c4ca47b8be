"""Cache look-ups of many threads, which travel to Redis together.

Natural batching as in `tasks/window.py`: a thread that finds no look-up under way makes its own, at once.
What comes meanwhile is looked up together by a thread of this module, until nothing is left. With a round
trip for each request, 64 threads spend most of their time on taking turns for the interpreter
(docs/adr/0008).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from tasks.cache import VerdictCache
from tasks.messages import Answer
from tasks.waiting import Entries, Entry

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
        self._lock = threading.Lock()
        self._busy = False
        self._waiting: list[Entry] = []
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
        """Look an entry up: here and now if nobody is at it (blocks 0.3 s at most), else soon."""
        with self._lock:
            if self._busy:
                self._waiting.append(entry)
                return
            self._busy = True
        try:
            self._look([entry])
        finally:
            with self._lock:
                self._busy = more = bool(self._waiting)
            if more:
                self._more.set()

    def _run(self) -> None:
        while not self._stopped:
            self._more.wait()
            self._more.clear()
            while together := self._next():
                self._look(together)

    def _next(self) -> list[Entry]:
        with self._lock:
            together, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
            self._busy = bool(together)
        return together

    def _look(self, together: list[Entry]) -> None:
        try:
            found = self._cache.get_all(
                [(e.ask.kind, e.ask.reading.charger_id, e.ask.tenant, e.ask.fingerprint) for e in together]
            )
        except Exception:
            # Whatever is wrong with the cache, those who wait are still to be answered.
            log.exception("cache could not be read")
            found = [None] * len(together)
        missing = []
        for entry, body in zip(together, found, strict=True):
            if body is None:
                missing.append(entry)
            else:
                self._entries.settle(entry, Answer(body=body))
        if missing:
            self._on_missing(missing)
