"""Read verdicts from the cache for many callers in one round trip.

Adaptive batching as in `tasks/client/batcher.py`, in a separate thread, so that no event loop waits for
Redis. Requests that arrive during a round trip share the next one, and tenants take turns. If no task is in
flight and the last readings were not cached, look-up and sending share one round trip (docs/adr/0008).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Final

import metrics
from errors import QueueFull
from tasks.client.pending import Outcome, PendingRequest
from tasks.client.turns import TurnQueue
from tasks.messaging.messages import ScoreResult
from tasks.messaging.task_publisher import CacheGuard
from tasks.storage.verdict_cache import VerdictCache, Wanted

log = logging.getLogger(__name__)

MAX_TOGETHER: Final = 64


class CacheReader:
    """Call `settle` with cached verdicts and `enqueue` with the other requests, both in the reader's thread.

    `send_unless_cached` sends the requests at once unless one of the cache guards matches in Redis. It
    returns False if nothing was sent.
    """

    def __init__(
        self,
        cache: VerdictCache,
        *,
        settle: Callable[[Iterable[tuple[PendingRequest, Outcome]]], None],
        enqueue: Callable[[list[PendingRequest]], None],
        send_unless_cached: Callable[[list[PendingRequest], Sequence[CacheGuard]], bool],
    ) -> None:
        self._cache = cache
        self._settle = settle
        self._enqueue = enqueue
        self._send_unless_cached = send_unless_cached
        self._has_missed = False
        self._waiting: SimpleQueue[PendingRequest | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="cache-reader", daemon=True)

    def start(self) -> None:
        """Start the reader's thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. Blocks until the current look-up has ended, 2 s at most."""
        self._waiting.put(None)
        self._thread.join(timeout=2)

    def add(self, request: PendingRequest) -> None:
        """Queue a request for the next look-up. Does not block. Thread-safe."""
        self._waiting.put(request)

    def _run(self) -> None:
        turns = TurnQueue()
        while request := self._waiting.get():
            turns.add(request)
            while turns and self._waiting.empty():
                self._look_or_settle(turns.take(MAX_TOGETHER))

    def _look_or_settle(self, together: list[PendingRequest]) -> None:
        """Run `_look`. If it fails, look up each request alone: the error is then that request's outcome."""
        try:
            self._look(together)
        except Exception as error:
            if len(together) > 1:
                log.exception("%d readings could not be looked up together; each goes alone", len(together))
                for request in together:
                    if request.outcome is None:
                        self._look_or_settle([request])
                return
            metrics.UNEXPECTED_ERRORS.labels(unit="request").inc()
            self._settle([(together[0], error)])

    def _look(self, together: list[PendingRequest]) -> None:
        wanted: list[Wanted] = [
            (
                score_request.kind,
                score_request.reading.charger_id,
                score_request.tenant,
                score_request.fingerprint,
            )
            for score_request in (request.score_request for request in together)
        ]
        if self._is_sent(together, wanted):
            return
        try:
            found = self._cache.get_all(wanted)
        except Exception:
            # A cache failure must not fail predictions: treat everything as not cached.
            log.exception("cache could not be read")
            found = [None] * len(together)
        settled: list[tuple[PendingRequest, Outcome]] = []
        missing: list[PendingRequest] = []
        for request, body in zip(together, found, strict=True):
            if body is not None:
                settled.append((request, ScoreResult(body=body)))
            elif request.cached_only:
                settled.append((request, QueueFull("predictions")))
            else:
                missing.append(request)
        self._has_missed = len(missing) == len(together)
        self._settle(settled)
        if missing:
            self._enqueue(missing)

    def _is_sent(self, together: list[PendingRequest], wanted: list[Wanted]) -> bool:
        """Whether the cache look-up of this round trip has also sent all requests to a worker.

        A task message is encoded in vain if a verdict is cached. So this is tried only if the last look-up
        found none.
        """
        if not self._has_missed or any(request.cached_only for request in together):
            return False
        guards = self._cache.guards(wanted)
        if not guards or not self._send_unless_cached(together, guards):
            return False
        self._cache.count_misses(wanted)
        return True
