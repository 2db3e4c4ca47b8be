"""Score readings through the queue: grouping, retries, and isolation of harmful readings.

Pure, except the predictor. A reading that fails to score, or whose worker dies each time, has `MAX_ATTEMPTS`
attempts alone. Missing workers, queue or Redis are not caused by the reading: retries then continue for as
long as they are missing.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import metrics
import tracing
from consumers.kafka.offsets import PendingRecord
from errors import ModelsUnavailable, PredictionTimeout, ScoringFailed, ServiceError
from readings.reading import Kind, Reading
from tasks.client.stream_predictor import TaskLost
from tasks.messaging.messages import ScoreRequest, ScoreResult
from tasks.messaging.names import Queues

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 3
# The limit of readings per task: all records of one poll, because each task and its transaction have a fixed
# cost (docs/adr/0010).
GROUP: Final = 500
# Smaller groups wait for tasks in flight, but not for older ones: their worker may have died.
PATIENCE_S: Final = 0.5
# The limit of tasks in flight; enough that no worker waits for this process.
MAX_IN_FLIGHT: Final = 8
# The predictions for each reading.
KINDS_ASKED: Final[tuple[Kind, ...]] = ("failure", "anomaly")
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0


class Predictor(Protocol):
    """The interface of `tasks/client/stream_predictor.py`; tests use a double."""

    def requests_for(self, kinds: Iterable[Kind], reading: Reading, tenant: str | None) -> list[ScoreRequest]:
        """The score requests of a reading, one for each kind."""

    def submit(
        self, score_requests: Sequence[ScoreRequest], traces: Sequence[str] = ()
    ) -> Future[list[ScoreResult]]:
        """Send the requests as one task; the future has a result for each, in order.

        `traces` are the contexts of traced records.
        """


@dataclass(slots=True, eq=False)
class Candidate:
    """One reading to score. `attempts` counts failed attempts, `alone` those in a task of its own.

    `pauses` counts retries for missing workers. `not_before` is the earliest next attempt, in clock seconds.
    """

    record: PendingRecord
    reading: Reading
    tenant: str | None
    attempts: int = 0
    alone: int = 0
    pauses: int = 0
    not_before: float = 0.0


# No worker took the reading, or a worker without models did.
NOT_ITS_FAULT: Final = frozenset({PredictionTimeout.code, ModelsUnavailable.code})


class Result(NamedTuple):
    """The result of a reading: its verdicts (anomaly may be missing), or its final error."""

    candidate: Candidate
    failure: ScoreResult | None = None
    anomaly: ScoreResult | None = None
    error: ServiceError | None = None


@dataclass(slots=True)
class _Group:
    candidates: list[Candidate]
    future: Future[list[ScoreResult]]
    sent_at: float


class Scoring:
    """Readings that wait for verdicts or for their next attempt. Not thread-safe; `clock` returns seconds."""

    def __init__(self, source: Predictor, *, clock: Callable[[], float]) -> None:
        self._predictor = source
        self._clock = clock
        self._fresh: deque[Candidate] = deque()
        # Readings of failed tasks: each is sent alone, so that it affects no other.
        self._again: deque[Candidate] = deque()
        self._in_flight: list[_Group] = []
        # Results of readings that could not be sent.
        self._ended_early: list[Result] = []
        self._ended = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether results are pending or available."""
        return bool(self._in_flight or self._ended_early)

    def add(self, record: PendingRecord, reading: Reading, tenant: str | None) -> None:
        """Queue a reading for the next `send`."""
        self._fresh.append(Candidate(record, reading, tenant))

    def send(self) -> None:
        """Send the readings that are due. Blocks for at most 2 s, if the queue cannot be reached."""
        while len(self._in_flight) < MAX_IN_FLIGHT:
            group = self._next_group()
            if not group:
                return
            group, score_requests = self._score_requests(group)
            if not group:
                continue
            traces = [
                trace for candidate in group if (trace := tracing.traceparent_of(candidate.record.span))
            ]
            sent = _Group(group, self._predictor.submit(score_requests, traces), self._clock())
            self._in_flight.append(sent)
            sent.future.add_done_callback(lambda _: self._ended.set())
            if sent.future.done():
                return  # sending failed, and would fail for the next group too

    def _score_requests(self, group: Sequence[Candidate]) -> tuple[list[Candidate], list[ScoreRequest]]:
        """The candidates that can be encoded, and their score requests."""
        asked: list[Candidate] = []
        score_requests: list[ScoreRequest] = []
        for candidate in group:
            try:
                score_requests += self._predictor.requests_for(
                    KINDS_ASKED, candidate.reading, candidate.tenant
                )
            except Exception as error:
                log.exception("record %s cannot be sent", candidate.record.received.event_id)
                metrics.UNEXPECTED_ERRORS.labels(unit="record").inc()
                reason = ServiceError(
                    f"The reading cannot be sent to a worker ({type(error).__name__}: {error})."
                )
                self._ended_early.append(Result(candidate, error=reason))
            else:
                asked.append(candidate)
        return asked, score_requests

    def wait(self, timeout_s: float) -> None:
        """Block until a task has ended since the last `collect`, for at most `timeout_s`."""
        self._ended.wait(timeout_s)

    def collect(self) -> list[Result]:
        """The results since the last call. Does not block."""
        results, self._ended_early = self._ended_early, []
        self._ended.clear()  # before the check, so that no task is missed
        ended = [sent for sent in self._in_flight if sent.future.done()]
        self._in_flight = [sent for sent in self._in_flight if not sent.future.done()]
        for sent in ended:
            results.extend(self._judge(sent))
        return results

    def _next_group(self) -> list[Candidate]:
        now = self._clock()
        for _ in range(len(self._again)):
            candidate = self._again.popleft()
            if candidate.record.dropped:
                continue
            if candidate.not_before <= now:
                return [candidate]
            self._again.append(candidate)
        group: list[Candidate] = []
        if len(self._fresh) < GROUP and any(now - sent.sent_at < PATIENCE_S for sent in self._in_flight):
            # Wait for more readings. The size of tasks then follows the rate of readings. With no task in
            # flight a single reading is sent at once.
            return group
        while self._fresh and len(group) < GROUP and self._fresh[0].not_before <= now:
            candidate = self._fresh.popleft()
            if not candidate.record.dropped:
                group.append(candidate)
        return group

    def _judge(self, sent: _Group) -> Iterator[Result]:
        error = sent.future.exception()
        if error is None:
            answers = sent.future.result()
            for candidate, failure, anomaly in zip(sent.candidates, answers[::2], answers[1::2], strict=True):
                yield from self._read(candidate, failure, anomaly)
            return
        if isinstance(error, TaskLost):
            solitary = len(sent.candidates) == 1
            if not solitary:
                log.warning("a task of %d readings was lost; each goes alone now", len(sent.candidates))
            for candidate in sent.candidates:
                yield from self._failed(candidate, str(error), alone=solitary)
        elif isinstance(error, ServiceError) and error.retryable:
            self._put_back(sent.candidates)
        else:
            for candidate in sent.candidates:
                yield from self._failed(candidate, str(error), alone=len(sent.candidates) == 1)

    def _read(self, candidate: Candidate, failure: ScoreResult, anomaly: ScoreResult) -> Iterator[Result]:
        if failure.error_code is None:
            # A prediction without an anomaly verdict is better than none.
            yield Result(candidate, failure, anomaly if anomaly.error_code is None else None)
        elif failure.error_code in NOT_ITS_FAULT:
            self._put_back([candidate])
        else:
            # Counts as alone: workers score each reading by itself, so no other reading caused the error.
            yield from self._failed(candidate, failure.error_detail, alone=True)

    def _failed(self, candidate: Candidate, detail: str, *, alone: bool) -> Iterator[Result]:
        candidate.attempts += 1
        candidate.alone += alone
        if candidate.alone >= MAX_ATTEMPTS:
            reason = ScoringFailed(f"Given up after {candidate.attempts} attempts: {detail}")
            yield Result(candidate, error=reason)
            return
        candidate.not_before = self._clock() + (FIRST_PAUSE_S * candidate.alone)
        self._again.append(candidate)

    def _put_back(self, candidates: Sequence[Candidate]) -> None:
        """Put the candidates back at the front, in order, with a pause that grows up to `LONGEST_PAUSE_S`."""
        metrics.REPEATED_TASKS.labels(queue=Queues.STREAM).inc()
        for candidate in reversed(candidates):
            pause_s = min(FIRST_PAUSE_S * 2.0**candidate.pauses, LONGEST_PAUSE_S)
            candidate.pauses += 1
            candidate.not_before = self._clock() + pause_s
            (self._again if candidate.attempts else self._fresh).appendleft(candidate)
