"""Cache look-ups of many callers, which travel to Redis together.

Natural batching as in `tasks/client/batcher.py`, in a thread of its own, so that no event loop waits for
Redis: it looks up what has come, and what comes meanwhile makes the next round trip. Where no task is under
way and the last readings were not in the cache, looking and sending are one round trip (docs/adr/0008).
"""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import Final

import metrics
from errors import QueueFull
from tasks.client.batcher import Window
from tasks.client.pending import Entries, Entry, Outcome
from tasks.messaging.messages import Answer
from tasks.storage.verdict_cache import VerdictCache, Wanted

log = logging.getLogger(__name__)

MAX_TOGETHER: Final = 64


class Lookups:
    """Settles entries from the cache and has those scored that are not there."""

    def __init__(self, cache: VerdictCache, entries: Entries, window: Window) -> None:
        self._cache = cache
        self._entries = entries
        self._window = window
        self._missed = False
        self._waiting: SimpleQueue[Entry | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="lookups", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._waiting.put(None)
        self._thread.join(timeout=2)

    def add(self, entry: Entry) -> None:
        """Have an entry looked up, soon. Does not block."""
        self._waiting.put(entry)

    def _run(self) -> None:
        while entry := self._waiting.get():
            together = [entry]
            while len(together) < MAX_TOGETHER and not self._waiting.empty():
                if (another := self._waiting.get()) is None:
                    return
                together.append(another)
            self._look_or_settle(together)

    def _look_or_settle(self, together: list[Entry]) -> None:
        """`_look`, and each reading alone where that fails: what it raises is then the reading's outcome."""
        try:
            self._look(together)
        except Exception as error:
            if len(together) > 1:
                log.exception("%d readings could not be looked up together; each goes alone", len(together))
                for entry in together:
                    if entry.outcome is None:
                        self._look_or_settle([entry])
                return
            metrics.UNEXPECTED_ERRORS.labels(unit="request").inc()
            self._entries.settle([(together[0], error)])

    def _look(self, together: list[Entry]) -> None:
        wanted: list[Wanted] = [
            (ask.kind, ask.reading.charger_id, ask.tenant, ask.fingerprint)
            for ask in (entry.ask for entry in together)
        ]
        if self._left(together, wanted):
            return
        try:
            found = self._cache.get_all(wanted)
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
        self._missed = len(missing) == len(together)
        self._entries.settle(settled)
        if missing:
            self._window.board(missing)

    def _left(self, together: list[Entry], wanted: list[Wanted]) -> bool:
        """Whether all have left for a worker in the round trip that looked for them in the cache.

        Only worth its message where they are probably not there, as the last ones were not.
        """
        if not self._missed or any(entry.cached_only for entry in together):
            return False
        marks = self._cache.marks(wanted)
        if not marks or not self._window.leave_unless(together, marks):
            return False
        self._cache.count_misses(wanted)
        return True
