"""The only door to the queue for single readings: cache, batch, wait, limit.

A request that nobody else's is equal to is looked up in the cache (`tasks/lookups.py`) and, if it is not
there, scored by a worker (`tasks/window.py`); both travel together with what arrives at the same time. The
requesting thread waits once, for whichever outcome. Equal readings of one charger share one place (single
flight).
"""

from __future__ import annotations

import time

from errors import PredictionTimeout, QueueFull, ServiceError
from models.reading import Kind, Reading
from settings import Settings
from tasks.cache import VerdictCache
from tasks.lookups import Lookups
from tasks.messages import Answer
from tasks.waiting import Entries, Places
from tasks.window import Window


class Gate:
    """Predictions for threads that wait. One instance for a process; safe to share between its threads."""

    def __init__(self, settings: Settings, cache: VerdictCache) -> None:
        self._timeout_s = settings.sync_timeout_s
        self._cache = cache
        self._places = Places(settings.max_waiting)
        self._entries = Entries()
        self._window = Window(settings, self._entries, self._places)
        self._lookups = Lookups(cache, self._entries, on_missing=self._window.board)
        self._window.start()
        self._lookups.start()

    def close(self) -> None:
        self._lookups.stop()
        self._window.stop()

    def predict(self, kind: Kind, reading: Reading, tenant: str | None) -> bytes:
        """The verdict as a JSON body, from the cache or from a worker.

        Blocks for the setting `ML_SYNC_TIMEOUT` at most. Raises `QueueFull`, `BrokerUnavailable`,
        `PredictionTimeout` or `ScoringFailed`.
        """
        deadline = time.monotonic() + self._timeout_s
        fingerprint = reading.fingerprint()
        try:
            with self._places:
                outcome = self._outcome(kind, reading, tenant, fingerprint, deadline)
        except QueueFull:
            # What is cached costs nobody a place.
            cached = self._cache.get(kind, reading.charger_id, tenant, fingerprint=fingerprint)
            if cached is None:
                raise
            return cached
        if outcome is None:
            raise PredictionTimeout(f"No verdict within {self._timeout_s:g} s.")
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome.body

    def place(self) -> Places:
        """A place among those that may wait, as a context. Raises `QueueFull` when all are taken."""
        return self._places

    def _outcome(
        self, kind: Kind, reading: Reading, tenant: str | None, fingerprint: str, deadline: float
    ) -> Answer | ServiceError | None:
        waiter, new = self._entries.join(kind, tenant, reading, fingerprint, deadline)
        if new:
            self._lookups.add(waiter.entry)
        return waiter.wait(deadline)
