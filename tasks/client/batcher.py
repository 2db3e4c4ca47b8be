"""Which requests travel in which task: natural batching, single sending of lost ones, giving up.

A request that finds no task in flight leaves at once, so an idle service adds no delay. Requests that arrive
meanwhile wait in memory and travel together in the next task. No timer is involved; a batch is bounded by
`MAX_BATCH` and each request by its own deadline.

A task whose worker died is sent once more, each reading in a task of its own, so that one that kills workers
takes nobody with it. Mostly the worker's parent process reports the death (`tasks/worker/lost.py`). Where no
report comes, `DeadlinePolicy` says when a task counts as lost.

Without threads, clock or sockets: the caller passes the time in, and sends the tasks that it gets.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

import metrics
from errors import ModelsUnavailable, PredictionTimeout, ScoringFailed, ServiceError
from tasks.client.in_flight import DeadlinePolicy, Fate, InFlightTask, InFlightTasks, loss_of
from tasks.client.pending import Outcome, PendingRequest, PendingRequests
from tasks.messaging.messages import ScoreResult

log = logging.getLogger(__name__)

MAX_BATCH: Final = 64
# Tasks of one process in flight at once. One would leave a worker idle while its reply travels.
MAX_IN_FLIGHT: Final = 2
# A task leaves beside another only with this share of the other's readings, or when none has left for a while
# (seconds): otherwise every second task would carry the one reading that came first after a reply, and what a
# task costs by itself would be paid for little (docs/adr/0008).
SHARE_OF_THE_OTHER: Final = 1.0
FOR_A_WHILE_S: Final = 0.1
# The share of the deadline after which a task that is neither answered nor on the queue counts as lost: it
# leaves time for a second sending.
LOST_AFTER: Final = 0.42
# A second sending needs this long to be of use to anybody.
WORTH_SENDING_S: Final = 0.1

# Error codes that say nothing about the reading.
_ERRORS: Final[dict[str | None, type[ServiceError]]] = {
    error.code: error for error in (ModelsUnavailable, PredictionTimeout)
}

Batch = InFlightTask[list[PendingRequest]]


class Step(NamedTuple):
    """What follows from an event: tasks to send now, and outcomes to settle."""

    to_send: list[Batch]
    settled: list[tuple[PendingRequest, Outcome]]


class MicroBatcher:
    """The requests of one process on their way to workers. Not safe to share between threads."""

    def __init__(self, pending: PendingRequests, *, timeout_s: float) -> None:
        self._pending = pending
        self._in_flight: InFlightTasks[list[PendingRequest]] = InFlightTasks(
            DeadlinePolicy(timeout_s * LOST_AFTER)
        )
        self._queue: deque[PendingRequest] = deque()
        self._left_at = 0.0

    @property
    def queued(self) -> int:
        """How many requests wait for a task."""
        return len(self._queue)

    def enqueue(self, requests: Iterable[PendingRequest], now: float) -> list[Batch]:
        """Have these scored: in the task to send now, if there is one, or in a later one."""
        self._queue.extend(requests)
        return self._next_batch(now)

    def alone(self, requests: list[PendingRequest], now: float) -> Batch | None:
        """A task of just these, in flight from now on; None if another is in flight or requests wait."""
        if self._in_flight or self._queue:
            return None
        return self._start(requests, now)

    def withdraw(self, batch: Batch) -> None:
        """A task was not sent, and nothing is wrong: it never happened."""
        self._in_flight.remove(batch)

    def failed(self, batch: Batch, error: Exception, now: float) -> Step:
        """A task could not be sent.

        An error of ours is the outcome of its requests, and of those that wait: they would meet the same
        fault later. Any other may be the fault of one request, so that each is sent alone.
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
        """The broker is gone: those that wait to be sent end with `error`."""
        return Step([], [(request, error) for request in self._empty_queue()])

    def replied(self, batch_id: str, answers: list[ScoreResult], now: float) -> Step:
        """A reply has come. Of a task that was given up before nobody waits for it."""
        to_send: list[Batch] = []
        settled: list[tuple[PendingRequest, Outcome]] = []
        batch = self._in_flight.take(batch_id)
        loss = None if batch is None else loss_of(batch, answers)
        if batch is None:
            pass
        elif loss is None:
            settled = list(zip(batch.load, map(_outcome_of, answers), strict=True))
        elif batch.is_retry:
            settled = [(request, ScoringFailed(loss)) for request in batch.load]
        else:
            self._in_flight.add(batch)  # its callers still wait, for the second sending
            to_send = [] if batch.is_split else self._split(batch, now)
        return Step(self.due(now) + to_send, settled)

    def due(self, now: float) -> list[Batch]:
        """The task to send now, if none has left for a while."""
        return self._next_batch(now, even_small=now - self._left_at > FOR_A_WHILE_S)

    def give_up_expired(self, now: float) -> bool:
        """Give up the tasks that have expired. Whether there were any.

        Their requests are forgotten, except those that a caller has joined since. These are sent again.
        """
        expired = self._in_flight.take_expired(now)
        # A lost task and its second sendings share their requests, and do not all end together.
        elsewhere = {id(request) for batch in self._in_flight for request in batch.load}
        requests = {id(request): request for batch in expired for request in batch.load}
        joined = self._pending.forget_expired(requests.values(), now + WORTH_SENDING_S)
        self._queue.extend(request for request in joined if id(request) not in elsewhere)
        return bool(expired)

    def silent(self, now: float) -> list[Batch]:
        """The tasks that should have been answered: look whether they are still on the queue."""
        return self._in_flight.due(now)

    def looked(
        self, silent: Iterable[Batch], queued: Collection[str], now: float, *, is_served: bool
    ) -> list[Batch]:
        """The second sendings, if a worker is there. `queued` has the ids of tasks on the queue."""
        to_send: list[Batch] = []
        for batch, fate in self._in_flight.fates(silent, queued, now):
            if fate is Fate.LOST:
                batch.is_lost = True
                if is_served:
                    to_send += self._split(batch, now)
        return to_send

    def _next_batch(self, now: float, *, even_small: bool = False) -> list[Batch]:
        """The next task, if one may leave now."""
        sizes = [len(batch.load) for batch in self._in_flight if not (batch.is_lost or batch.is_retry)]
        if len(sizes) >= MAX_IN_FLIGHT:
            return []
        least = 1 if even_small else max(sizes, default=0) * SHARE_OF_THE_OTHER
        if len(self._queue) < min(least, MAX_BATCH):
            return []
        requests: list[PendingRequest] = []
        while self._queue and len(requests) < MAX_BATCH:
            most = min(len(self._queue), MAX_BATCH - len(requests))
            requests += self._pending.forget_expired([self._queue.popleft() for _ in range(most)], now)
        return [self._start(requests, now)] if requests else []

    def _start(self, requests: list[PendingRequest], now: float) -> Batch:
        expires_at = max(request.deadline for request in requests)
        batch = InFlightTask(requests, len(requests), sent_at=now, expires_at=expires_at)
        self._in_flight.add(batch)
        self._left_at = now
        return batch

    def _split(self, batch: Batch, now: float) -> list[Batch]:
        """A task for each request of a lost one that somebody still waits for."""
        batch.is_lost = batch.is_split = True
        singles = self._each_alone(batch, now, least_s=WORTH_SENDING_S)
        if singles:
            log.warning("a task of %d readings was lost; each is sent again alone", batch.size)
            metrics.LOST_TASKS.inc()
        return singles

    def _each_alone(self, batch: Batch, now: float, *, least_s: float) -> list[Batch]:
        """A task for each request without an outcome that has at least `least_s` left."""
        singles = [
            InFlightTask([request], 1, sent_at=now, expires_at=request.deadline, is_retry=True)
            for request in batch.load
            if request.outcome is None and request.deadline > now + least_s
        ]
        for single in singles:
            self._in_flight.add(single)
        return singles

    def _empty_queue(self) -> list[PendingRequest]:
        waiting = list(self._queue)
        self._queue.clear()
        return waiting


def _outcome_of(answer: ScoreResult) -> Outcome:
    if answer.error_code is None:
        return answer
    return _ERRORS.get(answer.error_code, ScoringFailed)(answer.error_detail)
