"""From readings to verdicts through the queue: grouping, retries, and finding the one that does harm.

Pure apart from the door it is given. What trying again cannot help is bounded: a reading that fails to
score, or whose worker dies each time, has `MAX_ATTEMPTS` attempts alone. That workers, queue or Redis are
away is not the reading's fault: it is tried again for as long as that lasts.
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
from consumers.kafka.offsets import PendingRecord
from errors import ModelsUnavailable, PredictionTimeout, ScoringFailed, ServiceError
from readings.reading import Kind, Reading
from tasks.client.stream_predictor import TaskLost
from tasks.messaging.messages import ScoreRequest, ScoreResult

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 3
# Readings that travel in one task at most: all that one poll brings, for a task and its transaction cost
# something of their own (docs/adr/0010).
GROUP: Final = 500
# Fewer readings wait for the tasks under way, but for none that takes longer: its worker may be gone.
PATIENCE_S: Final = 0.5
# Tasks under way at once, so that no worker waits for this process.
MAX_IN_FLIGHT: Final = 8
# What is asked about each reading.
KINDS_ASKED: Final[tuple[Kind, ...]] = ("failure", "anomaly")
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0


class Predictor(Protocol):
    """What `tasks/client/stream_predictor.py` offers; tests have one of their own."""

    def requests_for(
        self, kinds: Iterable[Kind], reading: Reading, tenant: str | None
    ) -> list[ScoreRequest]: ...

    def submit(self, score_requests: Sequence[ScoreRequest]) -> Future[list[ScoreResult]]: ...


@dataclass(slots=True, eq=False)
class Candidate:
    """One reading to score. `attempts` are those that failed, `alone` those of them that it made alone."""

    record: PendingRecord
    reading: Reading
    tenant: str | None
    attempts: int = 0
    alone: int = 0
    pauses: int = 0
    not_before: float = 0.0


# Nobody came to the reading, or one who has no models.
NOT_ITS_FAULT: Final = frozenset({PredictionTimeout.code, ModelsUnavailable.code})


class Result(NamedTuple):
    """What became of a reading: its verdicts (that on anomaly may be missing), or the error it ends in."""

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
    """Readings that wait for verdicts or for their next attempt. For one thread; `clock` in seconds."""

    def __init__(self, source: Predictor, *, clock: Callable[[], float]) -> None:
        self._predictor = source
        self._clock = clock
        self._fresh: deque[Candidate] = deque()
        # Those that were in a task that failed: each travels alone now, so that it harms no other.
        self._again: deque[Candidate] = deque()
        self._in_flight: list[_Group] = []
        # Results of readings that could not even be sent.
        self._ended_early: list[Result] = []
        self._ended = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether an answer may come at any moment."""
        return bool(self._in_flight or self._ended_early)

    def add(self, record: PendingRecord, reading: Reading, tenant: str | None) -> None:
        self._fresh.append(Candidate(record, reading, tenant))

    def send(self) -> None:
        """Send what may be sent now. Blocks 2 s at most, when the queue cannot be reached."""
        while len(self._in_flight) < MAX_IN_FLIGHT:
            group = self._next_group()
            if not group:
                return
            group, score_requests = self._score_requests(group)
            if not group:
                continue
            sent = _Group(group, self._predictor.submit(score_requests), self._clock())
            self._in_flight.append(sent)
            sent.future.add_done_callback(lambda _: self._ended.set())
            if sent.future.done():
                return  # it could not be sent; the next ones would meet the same

    def _score_requests(self, group: Sequence[Candidate]) -> tuple[list[Candidate], list[ScoreRequest]]:
        """What to ask about the readings, and those about which something can be asked."""
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
        """Block until a task has ended that `collect` has not seen, `timeout_s` at most."""
        self._ended.wait(timeout_s)

    def collect(self) -> list[Result]:
        """What has ended since the last call. Does not block."""
        results, self._ended_early = self._ended_early, []
        self._ended.clear()  # before looking, so that none is missed
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
            # They travel with those that come meanwhile. So tasks are as large as the rate of readings makes
            # them, and a reading that comes alone goes at once.
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
            # A prediction without an anomaly verdict is worth more than none at all.
            yield Result(candidate, failure, anomaly if anomaly.error_code is None else None)
        elif failure.error_code in NOT_ITS_FAULT:
            self._put_back([candidate])
        else:
            # Whatever was wrong with it, it was not its neighbours: workers score each one by itself.
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
        """To the front, in the order they had, after a pause that grows to `LONGEST_PAUSE_S`."""
        for candidate in reversed(candidates):
            pause_s = min(FIRST_PAUSE_S * 2.0**candidate.pauses, LONGEST_PAUSE_S)
            candidate.pauses += 1
            candidate.not_before = self._clock() + pause_s
            (self._again if candidate.attempts else self._fresh).appendleft(candidate)
