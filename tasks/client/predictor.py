"""The only door to the queue for single readings: cache, batch, wait, limit.

A reading that nobody waits for yet is looked up in the cache (`tasks/client/cache_reader.py`) and, if it is
not there, scored by a worker (`tasks/client/batcher.py`); both travel together with what arrives at the same
time, and with each other while nothing is under way. Who asked waits once, for whichever outcome. Equal
readings of one charger share one place in the task (single flight).
"""

from __future__ import annotations

import time

from errors import PredictionTimeout
from readings.reading import Kind, Reading
from settings import Settings
from tasks.client.batcher import Window
from tasks.client.cache_reader import Lookups
from tasks.client.pending import Entries, Entry, Outcome, Places
from tasks.storage.verdict_cache import VerdictCache


class Gate:
    """Predictions for callers that wait. One instance for a process; safe to share between its threads.

    Without a place to wait in (`ML_MAX_WAITING`) a caller still gets what is cached.
    """

    def __init__(self, settings: Settings, cache: VerdictCache) -> None:
        self._timeout_s = settings.sync_timeout_s
        self._places = Places(settings.max_waiting)
        self._entries = Entries()
        self._window = Window(settings, self._entries, self._places)
        self._lookups = Lookups(cache, self._entries, self._window)
        self._window.start()
        self._lookups.start()

    def close(self) -> None:
        self._lookups.stop()
        self._window.stop()

    def predict(self, kind: Kind, reading: Reading, tenant: str | None) -> bytes:
        """The verdict as a JSON body, from the cache or from a worker.

        Blocks the thread for the setting `ML_SYNC_TIMEOUT` at most. Raises `QueueFull`, `BrokerUnavailable`,
        `PredictionTimeout` or `ScoringFailed`, and the very exception that a bug raised on the reading's way.
        """
        deadline = time.monotonic() + self._timeout_s
        placed = self._places.take()
        try:
            entry = self._entry(kind, reading, tenant, deadline, placed)
            return self._body(self._entries.wait(entry, deadline))
        finally:
            if placed:
                self._places.give_back()

    async def answer(self, kind: Kind, reading: Reading, tenant: str | None) -> bytes:
        """The same for a coroutine. Its loop goes on meanwhile."""
        deadline = time.monotonic() + self._timeout_s
        placed = self._places.take()
        try:
            entry = self._entry(kind, reading, tenant, deadline, placed)
            return self._body(await self._entries.outcome(entry, deadline))
        finally:
            if placed:
                self._places.give_back()

    def _entry(
        self, kind: Kind, reading: Reading, tenant: str | None, deadline: float, placed: bool
    ) -> Entry:
        entry, new = self._entries.entry(kind, tenant, reading, deadline, cached_only=not placed)
        if new:
            self._lookups.add(entry)
        return entry

    def _body(self, outcome: Outcome | None) -> bytes:
        if outcome is None:
            raise PredictionTimeout(f"No verdict within {self._timeout_s:g} s.")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.body
