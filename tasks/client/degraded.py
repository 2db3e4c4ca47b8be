"""Degraded scoring: answer single predictions in the web process while no worker can (docs/adr/0017).

A request is scored here if Redis cannot be reached or no worker is alive. So is one whose task stands on the
queue while nothing is answered. An old queue whose tasks are answered is overload: requests are refused then,
not scored here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import metrics
from errors import QueueFull
from settings import Settings
from tasks.client.local_scorer import LOOK_EVERY_S, LocalScorer
from tasks.client.pending import Outcome, PendingRequest
from tasks.client.turns import TurnQueue
from tasks.monitoring.service_health import STALE_AFTER_S, Snapshot

log = logging.getLogger(__name__)

Reason = Literal["redis", "workers", "stalled"]
Settle = Callable[[Iterable[tuple[PendingRequest, Outcome]]], None]

# Models load this long after the start, so that a process answers before it is busy with them.
LOAD_AFTER_S: Final = 3.0
# A single prediction needs four round trips to Redis, one after the other, and waits for tasks before it that
# need as many. With slower ones most predictions would miss their deadline.
SLOW_REDIS_S: Final = 0.15
MAX_TOGETHER: Final = 64
# Requests that may wait for this thread. Further ones are refused.
MAX_WAITING: Final = 1_024
# A reason is logged at most this often.
LOG_EVERY_S: Final = 10.0


class DegradedScoring:
    """One thread that loads the models and scores. Thread-safe.

    `snapshot` returns the last look at the service's parts.
    """

    def __init__(self, settings: Settings, snapshot: Callable[[], Snapshot]) -> None:
        self._scorer = LocalScorer(settings)
        self._snapshot = snapshot
        self._added = threading.Condition()
        self._waiting = TurnQueue()
        self._reason: Reason = "redis"
        self._settle: Settle = lambda outcomes: None
        self._stopped = threading.Event()
        self._logged_at: dict[Reason, float] = {}
        self._thread = threading.Thread(target=self._run, name="degraded-scoring", daemon=True)

    @property
    def able(self) -> bool:
        """Whether models are loaded."""
        return self._scorer.able

    def start(self, settle: Settle) -> None:
        """Start the thread. It calls `settle` with outcomes."""
        self._settle = settle
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. Blocks 2 s at most."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def reason(self) -> Reason | None:
        """Why requests must be scored here now; None if workers can, or if no models are loaded here."""
        return reason_of(self._snapshot(), time.monotonic()) if self._scorer.able else None

    def add(self, requests: Sequence[PendingRequest], reason: Reason) -> None:
        """Queue requests for scoring. Does not block. Beyond the capacity, they get `QueueFull`.

        Tenants take turns.
        """
        if not requests:
            return
        with self._added:
            self._reason = reason
            self._waiting.extend(requests)
            refused = self._waiting.keep(MAX_WAITING)
            self._added.notify()
        if refused:
            self._settle((request, QueueFull("degraded predictions")) for request in refused)

    def _run(self) -> None:
        self._stopped.wait(LOAD_AFTER_S)
        while not self._stopped.is_set():
            try:
                self._scorer.look()
                self._score(*self._next())
            except Exception:
                # This thread is the last that can answer; one bad request must not end it.
                log.exception("degraded scoring failed")

    def _next(self) -> tuple[list[PendingRequest], Reason]:
        """The next requests, `MAX_TOGETHER` at most. Blocks until there is one, or a look is due."""
        with self._added:
            self._added.wait_for(lambda: self._waiting, timeout=min(1.0, LOOK_EVERY_S))
            return self._waiting.take(MAX_TOGETHER), self._reason

    def _score(self, together: list[PendingRequest], reason: Reason) -> None:
        now = time.monotonic()
        wanted = [request for request in together if request.outcome is None and request.deadline > now]
        if not wanted:
            return
        outcomes = self._scorer.score([request.score_request for request in wanted])
        self._settle(zip(wanted, outcomes, strict=True))
        metrics.REQUESTS_DEGRADED.labels(reason).inc(len(wanted))
        if now - self._logged_at.get(reason, 0.0) > LOG_EVERY_S:
            self._logged_at[reason] = now
            log.warning("single predictions are scored in the web process (%s)", reason)


def reason_of(snapshot: Snapshot, now: float) -> Reason | None:
    """Why no worker can answer a request in time, as far as the last look at the parts knows.

    `now` is in `time.monotonic()` seconds. None before the first look.
    """
    if not snapshot.checks:
        return None
    if snapshot.checks["redis"].state != "ok" or now - snapshot.taken_at >= STALE_AFTER_S:
        return "redis"
    if snapshot.redis_s >= SLOW_REDIS_S:
        return "redis"
    return None if snapshot.serving else "workers"
