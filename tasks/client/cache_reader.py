"""Cache look-ups of many callers, which travel to Redis together.

Natural batching as in `tasks/client/batcher.py`, in a thread of its own, so that no event loop waits for
Redis: it looks up what has come, and what comes meanwhile makes the next round trip. Where no task is in
flight and the last readings were not in the cache, looking and sending are one round trip (docs/adr/0008).
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
from tasks.messaging.messages import ScoreResult
from tasks.messaging.task_publisher import CacheGuard
from tasks.storage.verdict_cache import VerdictCache, Wanted

log = logging.getLogger(__name__)

MAX_TOGETHER: Final = 64


class CacheReader:
    """Calls `settle` with what is cached and `enqueue` with what is not, both in its own thread.

    `send_unless_cached` sends the requests at once unless Redis finds one of the marks; False if it did not.
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
        self._thread.start()

    def stop(self) -> None:
        """Blocks until the look-up in hand has ended, 2 s at most."""
        self._waiting.put(None)
        self._thread.join(timeout=2)

    def add(self, request: PendingRequest) -> None:
        """Have a request looked up, soon. Does not block."""
        self._waiting.put(request)

    def _run(self) -> None:
        while request := self._waiting.get():
            together = [request]
            while len(together) < MAX_TOGETHER and not self._waiting.empty():
                if (another := self._waiting.get()) is None:
                    return
                together.append(another)
            self._look_or_settle(together)

    def _look_or_settle(self, together: list[PendingRequest]) -> None:
        """`_look`, and each request alone where that fails: the error is then its outcome."""
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
            # Whatever is wrong with the cache, the callers are still to be answered.
            log.exception("cache could not be read")
            found = [None] * len(together)
        settled: list[tuple[PendingRequest, Outcome]] = []
        missing: list[PendingRequest] = []
        for request, body in zip(together, found, strict=True):
            if body is not None:
                settled.append((request, ScoreResult(body=body)))
            elif request.cached_only:
                settled.append((request, QueueFull("Too many requests are waiting already.")))
            else:
                missing.append(request)
        self._has_missed = len(missing) == len(together)
        self._settle(settled)
        if missing:
            self._enqueue(missing)

    def _is_sent(self, together: list[PendingRequest], wanted: list[Wanted]) -> bool:
        """Whether all have left for a worker in the round trip that looked for them in the cache.

        Only worth its message where they are probably not there, as the last ones were not.
        """
        if not self._has_missed or any(request.cached_only for request in together):
            return False
        guards = self._cache.guards(wanted)
        if not guards or not self._send_unless_cached(together, guards):
            return False
        self._cache.count_misses(wanted)
        return True
