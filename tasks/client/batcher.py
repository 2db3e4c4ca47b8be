"""Assign pending requests to score tasks: adaptive batching, one retry of lost tasks, expiry.

A request that finds no task in flight is sent at once, so an idle service adds no delay. Requests that arrive
meanwhile are queued in memory and share the next task. No timer is involved. A batch is bounded by
`MAX_BATCH`, and each request by its own deadline. Tenants take turns, so that a request waits for few of
another tenant's.

A task whose worker died is retried once, with one task per reading. A reading that kills workers then fails
alone. Usually the worker's parent process reports the death (`tasks/worker/lost.py`). Without a report,
`DeadlinePolicy` decides when a task counts as lost.

The module uses no threads, clock or sockets. The caller passes the time in and sends the returned tasks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

import metrics
from errors import ModelsUnavailable, PredictionTimeout, QueueFull, ScoringFailed, ServiceError
from tasks.client.admission import Admission
from tasks.client.in_flight import DeadlinePolicy, Fate, InFlightTask, InFlightTasks, loss_of
from tasks.client.pending import Outcome, PendingRequest, PendingRequests
from tasks.client.turns import TurnQueue
from tasks.messaging.messages import ScoreResult
from tasks.messaging.names import Queues

log = logging.getLogger(__name__)

MAX_BATCH: Final = 64
# Tasks of one process in flight at once. One would leave a worker idle while its reply travels.
MAX_IN_FLIGHT: Final = 2
# A second task is sent beside one in flight only if it has at least this share of the other's readings, or if
# no task was sent for `FOR_A_WHILE_S` seconds. Otherwise every second task would carry only the first reading
# after a reply, at the full fixed cost of a task (docs/adr/0008).
SHARE_OF_THE_OTHER: Final = 1.0
FOR_A_WHILE_S: Final = 0.1
# How long requests of several tenants are remembered.
SHARED_FOR_S: Final = 1.0
# Share of the deadline after which a task that is neither answered nor on the queue counts as lost. The rest
# is enough for a retry.
LOST_AFTER: Final = 0.42
# A retry with less time left than this cannot be answered in time.
WORTH_SENDING_S: Final = 0.1

# Error codes whose cause is not the reading.
_ERRORS: Final[dict[str | None, type[ServiceError]]] = {
    error.code: error for error in (ModelsUnavailable, PredictionTimeout)
}

Batch = InFlightTask[list[PendingRequest]]


class Step(NamedTuple):
    """The consequences of an event: tasks to send now, and outcomes to settle."""

    to_send: list[Batch]
    settled: list[tuple[PendingRequest, Outcome]]


class MicroBatcher:
    """The queued and in-flight requests of one process. Not thread-safe."""

    def __init__(self, pending: PendingRequests, admission: Admission, *, timeout_s: float) -> None:
        self._pending = pending
        self._admission = admission
        self._in_flight: InFlightTasks[list[PendingRequest]] = InFlightTasks(
            DeadlinePolicy(timeout_s * LOST_AFTER)
        )
        self._queue = TurnQueue()
        self._left_at = 0.0
        self._last_tenant: str | None = None
        self._shared_until = 0.0

    @property
    def queued(self) -> int:
        """Number of requests that wait for a task."""
        return len(self._queue)

    @property
    def is_waiting(self) -> bool:
        """Whether a task is in flight."""
        return bool(self._in_flight)

    def is_shared(self, now: float) -> bool:
        """Whether requests of several tenants have come lately."""
        return now < self._shared_until

    def enqueue(self, requests: Iterable[PendingRequest], now: float) -> list[Batch]:
        """Queue requests for scoring. Returns the task to send now, if any."""
        for request in requests:
            if request.key[1] != self._last_tenant:
                self._note_tenant(request, now)
            self._queue.add(request)
        return self._next_batch(now)

    def alone(self, requests: list[PendingRequest], now: float) -> Batch | None:
        """Start a task with these requests only. None if a task is in flight or requests are queued."""
        if self._in_flight or self._queue:
            return None
        for request in requests:
            if request.key[1] != self._last_tenant:
                self._note_tenant(request, now)
        return self._start(requests, now)

    def withdraw(self, batch: Batch) -> None:
        """Remove a task that was not sent because its verdicts may be cached. No outcome is set."""
        self._in_flight.remove(batch)

    def failed(self, batch: Batch, error: Exception, now: float) -> Step:
        """Handle a task that could not be sent.

        A `ServiceError` becomes the outcome of its requests and of all queued ones, which would meet the same
        fault later. Any other error may be caused by one request, so each request is sent alone.
        """
        self._in_flight.remove(batch)
        if isinstance(error, ServiceError):
            return Step([], [(request, error) for request in [*batch.load, *self._empty_queue()]])
        if len(batch.load) == 1:
            metrics.UNEXPECTED_ERRORS.labels(unit="request").inc()
            return Step([], [(batch.load[0], error)])
        log.error("a task of %d readings could not be sent (%r); each is sent alone", batch.size, error)
        return Step(self._each_alone(batch, now, least_s=-math.inf), [])

    def fail_queued(self, error: Exception) -> Step:
        """Settle all queued requests with `error`, because the broker is unreachable."""
        return Step([], [(request, error) for request in self._empty_queue()])

    def take_queued(self) -> list[PendingRequest]:
        """Remove and return the queued requests. No outcome is set."""
        return self._empty_queue()

    def replied(self, batch_id: str, answers: list[ScoreResult], now: float) -> Step:
        """Handle a reply. A reply to a task that was given up before is ignored."""
        to_send: list[Batch] = []
        settled: list[tuple[PendingRequest, Outcome]] = []
        batch = self._in_flight.take(batch_id)
        loss = None if batch is None else loss_of(batch, answers)
        if batch is None:
            pass
        elif loss is None:
            settled = list(zip(batch.load, map(_outcome_of, answers), strict=True))
            if batch.size >= MAX_BATCH:
                settled += self._adapt(batch, now)
        elif batch.is_retry:
            settled = [(request, ScoringFailed(loss)) for request in batch.load]
        else:
            self._in_flight.add(batch)  # its callers still wait, for the retry
            to_send = [] if batch.is_split else self._split(batch, now)
        return Step(self.due(now) + to_send, settled)

    def due(self, now: float) -> list[Batch]:
        """The task to send now, even a small one if no task was sent for a while."""
        return self._next_batch(now, even_small=now - self._left_at > FOR_A_WHILE_S)

    def give_up_expired(self, now: float) -> bool:
        """Give up expired tasks. Returns whether there were any.

        Their requests are forgotten, except those that a caller has joined since. These are queued again.
        """
        expired = self._in_flight.take_expired(now)
        # A lost task and its retries share their requests, and do not all end together.
        elsewhere = {id(request) for batch in self._in_flight for request in batch.load}
        requests = {id(request): request for batch in expired for request in batch.load}
        joined = self._pending.forget_expired(requests.values(), now + WORTH_SENDING_S)
        self._queue.extend(request for request in joined if id(request) not in elsewhere)
        return bool(expired)

    def silent(self, now: float) -> list[Batch]:
        """Tasks without a reply that are due for a look at the queue."""
        return self._in_flight.due(now)

    def looked(
        self, silent: Iterable[Batch], queued: Collection[str], now: float, *, is_served: bool
    ) -> list[Batch]:
        """Retries of the tasks found lost, if a worker is there. `queued` contains the ids on the queue."""
        to_send: list[Batch] = []
        for batch, fate in self._in_flight.fates(silent, queued, now):
            if fate is Fate.LOST:
                batch.is_lost = True
                if is_served:
                    to_send += self._split(batch, now)
        return to_send

    def _next_batch(self, now: float, *, even_small: bool = False) -> list[Batch]:
        """The next task, if one may be sent now."""
        sizes = [len(batch.load) for batch in self._in_flight if not (batch.is_lost or batch.is_retry)]
        if len(sizes) >= MAX_IN_FLIGHT:
            return []
        least = 1 if even_small else max(sizes, default=0) * SHARE_OF_THE_OTHER
        if len(self._queue) < min(least, MAX_BATCH):
            return []
        requests: list[PendingRequest] = []
        while self._queue and len(requests) < MAX_BATCH:
            requests += self._pending.forget_expired(self._queue.take(MAX_BATCH - len(requests)), now)
        return [self._start(requests, now)] if requests else []

    def _adapt(self, batch: Batch, now: float) -> list[tuple[PendingRequest, Outcome]]:
        """Adapt the capacity to an answered full task. Refuse queued requests that cannot be answered."""
        self._admission.note_full_task(batch.size, batch.sent_at, now)
        return [(request, QueueFull("predictions")) for request in self._queue.keep(self._admission.kept)]

    def _note_tenant(self, request: PendingRequest, now: float) -> None:
        self._last_tenant = request.key[1]
        self._shared_until = now + SHARED_FOR_S

    def _start(self, requests: list[PendingRequest], now: float) -> Batch:
        expires_at = max(request.deadline for request in requests)
        batch = InFlightTask(requests, len(requests), sent_at=now, expires_at=expires_at)
        self._in_flight.add(batch)
        self._left_at = now
        return batch

    def _split(self, batch: Batch, now: float) -> list[Batch]:
        """One task per request of a lost task that a caller still waits for."""
        batch.is_lost = batch.is_split = True
        for request in batch.load:
            request.is_suspect = True
        singles = self._each_alone(batch, now, least_s=WORTH_SENDING_S)
        if singles:
            log.warning("a task of %d readings was lost; each is sent again alone", batch.size)
            metrics.LOST_TASKS.inc()
            metrics.REPEATED_TASKS.labels(queue=Queues.SINGLE).inc(len(singles))
        return singles

    def _each_alone(self, batch: Batch, now: float, *, least_s: float) -> list[Batch]:
        """One task per request without an outcome that has at least `least_s` left."""
        singles = [
            InFlightTask([request], 1, sent_at=now, expires_at=request.deadline, is_retry=True)
            for request in batch.load
            if request.outcome is None and request.deadline > now + least_s
        ]
        for single in singles:
            self._in_flight.add(single)
        return singles

    def _empty_queue(self) -> list[PendingRequest]:
        return self._queue.take(len(self._queue))


def _outcome_of(answer: ScoreResult) -> Outcome:
    if answer.error_code is None:
        return answer
    return _ERRORS.get(answer.error_code, ScoringFailed)(answer.error_detail)
