"""The tasks of one process that are under way, and the readings that wait for the next one to leave.

Natural batching: a reading that finds no task under way leaves at once, so an idle service adds no delay.
What arrives meanwhile waits in memory and travels together in the next task. No timer is involved; a batch
is bounded by `MAX_BATCH` and each reading by its own deadline.

A task whose worker died is sent once more, each reading in a task of its own, so that one that kills workers
takes nobody with it. Mostly the worker's parent process tells of the death (`tasks/worker/lost.py`). Where
nothing is heard for a while, a task counts as lost when it is off the queue and a worker is there to do
better: while it is on the queue it has only not been begun, and sending it twice would double the work of a
slow worker.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import metrics
from errors import BrokerUnavailable, ModelsUnavailable, PredictionTimeout, ScoringFailed, ServiceError
from settings import Settings
from tasks.client.pending import Entries, Entry, Places
from tasks.client.queue_inspection import ExpiredSweeper, QueueWatch
from tasks.client.reply_listener import Inbox
from tasks.messaging.messages import TASK_LOST, Answer, ScoreMessage
from tasks.messaging.names import Queues, TaskNames
from tasks.messaging.task_publisher import Mark, Sender

log = logging.getLogger(__name__)

MAX_BATCH: Final = 64
# Tasks of one process under way at once. One would leave a worker idle while its reply travels.
MAX_FLIGHTS: Final = 2
# A task leaves beside another only with this share of the other's readings, or when none has left for a while
# (seconds): otherwise every second task would carry the one reading that came first after a reply, and what a
# task costs by itself would be paid for little (docs/adr/0008).
WORTH_A_FLIGHT: Final = 1.0
WHILE_S: Final = 0.1
# The share of the deadline that a task may take before its process is killed, and after which one that is
# neither answered nor on the queue counts as lost: both leave time for a second sending.
KILLED_AFTER: Final = 0.34
LOST_AFTER: Final = 0.42
# A second sending needs this long to be of use to anybody.
WORTH_SENDING_S: Final = 0.1
# After a task went unanswered its queue is swept for this long: it may expire a moment later than its flight.
SWEEP_FOR_S: Final = 5.0
# As long may the events of sent tasks wait for each other.
TOGETHER_FOR_S: Final = 0.1

# What workers say by a code; anything else is about the reading.
_ERRORS: Final[dict[str | None, type[ServiceError]]] = {
    error.code: error for error in (ModelsUnavailable, PredictionTimeout)
}
_NO_ANSWER: Final = Answer(error_code=TASK_LOST, error_detail="The worker gave another number of answers.")


@dataclass(slots=True)
class _Flight:
    """One task under way. `entries` are in the order of the task's readings.

    `lost`: not to be waited for, its place in the window is free; a late reply still counts. `again`: a
    second sending, and the last.
    """

    entries: list[Entry]
    given_up_at: float
    batch_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    sent_at: float = field(default_factory=time.monotonic)
    task_id: str = ""
    again: bool = False
    lost: bool = False
    repeated: bool = False


class Window:
    """Gets entries settled by workers. Safe to share between threads.

    The boundary for errors is the reading: whatever sending raises becomes the outcome of the readings that
    were sent, and their task no longer counts as under way.
    """

    def __init__(self, settings: Settings, entries: Entries, places: Places) -> None:
        self._timeout_s = settings.sync_timeout_s
        self._entries = entries
        self._places = places
        self._sender = Sender(settings, news_every_s=TOGETHER_FOR_S)
        self._sweeper = ExpiredSweeper(settings, Queues.SINGLE)
        self._watch = QueueWatch(settings, Queues.SINGLE)
        self._inbox = Inbox(
            settings, on_reply=self._on_reply, on_tick=self._on_tick, on_unreachable=self._fail_pending
        )
        self._lock = threading.Lock()
        self._pending: deque[Entry] = deque()
        self._flights: dict[str, _Flight] = {}
        self._sweep_until = 0.0
        self._away_until = 0.0
        self._left_at = 0.0

    def start(self) -> None:
        self._inbox.start()

    def stop(self) -> None:
        self._inbox.stop()

    def board(self, entries: list[Entry]) -> None:
        """Have these scored: in a task that leaves now, or in the next. Blocks 2 s at most."""
        with self._lock:
            self._pending.extend(entries)
            departure = self._next_flight()
        self._depart(departure)

    def leave_unless(self, entries: list[Entry], marks: list[Mark]) -> bool:
        """Have these scored in a task that leaves now, unless Redis finds one of the marks (`Sender.send`).

        Whether they have left; if not, nothing has happened. Never while a task is under way: what leaves
        then leaves by the rules of `board`. Blocks 2 s at most.
        """
        flight = _Flight(entries, given_up_at=max(entry.deadline for entry in entries))
        with self._lock:
            if self._flights or self._pending:
                return False
            self._flights[flight.batch_id] = flight
            self._left_at = flight.sent_at
        return self._send(flight, marks)

    def _next_flight(self, *, even_small: bool = False) -> list[_Flight]:
        """The next batch, if one may leave now. Called with the lock held."""
        under_way = [
            len(flight.entries) for flight in self._flights.values() if not (flight.lost or flight.again)
        ]
        if len(under_way) >= MAX_FLIGHTS:
            return []
        least = 1 if even_small else max(under_way, default=0) * WORTH_A_FLIGHT
        if len(self._pending) < min(least, MAX_BATCH):
            return []
        now = time.monotonic()
        boarding: list[Entry] = []
        while self._pending and len(boarding) < MAX_BATCH:
            boarding += self._entries.forget_expired([self._pending.popleft()], now)
        if not boarding:
            return []
        flight = _Flight(boarding, given_up_at=max(entry.deadline for entry in boarding))
        self._flights[flight.batch_id] = flight
        self._left_at = now
        return [flight]

    def _depart(self, flights: list[_Flight]) -> None:
        for flight in flights:
            self._send(flight)

    def _send(self, flight: _Flight, unless: Sequence[Mark] = ()) -> bool:
        """Whether it has left, or failed to: not if Redis has found one of the marks."""
        asks = [entry.ask for entry in flight.entries]
        message = ScoreMessage(flight.batch_id, self._inbox.address, asks, door="rest")
        started = time.monotonic()
        away = started < self._away_until
        try:
            if away:
                raise BrokerUnavailable("The task queue cannot be reached.")
            flight.task_id = self._sender.send(
                TaskNames.SCORE,
                message.encode(),
                queue=Queues.SINGLE,
                expires_s=max(0.1, flight.given_up_at - time.monotonic()),
                time_limit_s=self._timeout_s * KILLED_AFTER,
                unless=unless,
            )
        except ServiceError as error:
            with self._lock:
                self._flights.pop(flight.batch_id, None)
                if not away:
                    # For as long as that took none is tried again. With a mute Redis each would wait for its
                    # deadline, one after another, and whoever comes meanwhile with them.
                    self._away_until = 2 * time.monotonic() - started
            self._entries.settle((entry, error) for entry in flight.entries)
            self._fail_pending()
            return True
        except Exception as error:
            with self._lock:
                self._flights.pop(flight.batch_id, None)
            self._settle_alone(flight, error)
            return True
        if not flight.task_id:
            with self._lock:
                self._flights.pop(flight.batch_id, None)
            return False
        metrics.BATCH_READINGS.observe(len(asks))
        return True

    def _settle_alone(self, flight: _Flight, error: Exception) -> None:
        """Send the readings of a task that could not be sent one by one; one that is alone gets the error."""
        if len(flight.entries) == 1:
            metrics.UNEXPECTED_ERRORS.labels(unit="request").inc()
            self._entries.settle([(flight.entries[0], error)])
            return
        log.error(
            "a task of %d readings could not be sent (%r); each is sent alone", len(flight.entries), error
        )
        singles = [
            _Flight([entry], given_up_at=entry.deadline, again=True)
            for entry in flight.entries
            if entry.outcome is None
        ]
        with self._lock:
            self._flights.update((single.batch_id, single) for single in singles)
        self._depart(singles)

    def _fail_pending(self) -> None:
        """The broker is gone: those that wait to be sent would only meet the same fault, later."""
        with self._lock:
            waiting = list(self._pending)
            self._pending.clear()
        error = BrokerUnavailable("The task queue cannot be reached.")
        self._entries.settle((entry, error) for entry in waiting)

    def _on_reply(self, batch_id: str, answers: list[Answer]) -> None:
        repeats: list[_Flight] = []
        with self._lock:
            flight = self._flights.pop(batch_id, None)
            if flight is not None and len(answers) != len(flight.entries):
                answers = [_NO_ANSWER] * len(flight.entries)
            if flight is not None and answers[0].error_code == TASK_LOST and not flight.again:
                self._flights[batch_id] = flight  # its callers still wait, for the second sending
                repeats = [] if flight.repeated else self._split(flight)
                flight = None
            departure = self._next_flight(even_small=time.monotonic() - self._left_at > WHILE_S)
        self._depart(departure)  # first, so that the worker has something to do
        if flight is not None:  # else: nobody waits any more; the worker has cached the verdicts
            outcomes = [answer if answer.error_code is None else _error_of(answer) for answer in answers]
            self._entries.settle(zip(flight.entries, outcomes, strict=True))
        self._depart(repeats)

    def _on_tick(self) -> None:
        metrics.WAITING.set(self._places.taken)
        now = time.monotonic()
        if self._give_up_expired(now):
            self._sweep_until = now + SWEEP_FOR_S
        repeats = self._repeat_lost(now)
        with self._lock:
            departure = self._next_flight(even_small=now - self._left_at > WHILE_S)
        if now < self._sweep_until:
            self._sweeper.sweep()
        self._depart(departure + repeats)
        self._sender.tell()

    def _give_up_expired(self, now: float) -> bool:
        """Give up the tasks that have expired. Whether there were any.

        Their readings are forgotten, except those that a caller has joined since. These are sent again.
        """
        with self._lock:
            gone = [flight for flight in self._flights.values() if flight.given_up_at <= now]
            if not gone:
                return False
            for flight in gone:
                del self._flights[flight.batch_id]
            # A lost task and its repetitions share their readings, and do not all end together.
            elsewhere = {id(entry) for flight in self._flights.values() for entry in flight.entries}
            expired = {id(entry): entry for flight in gone for entry in flight.entries}
            joined = self._entries.forget_expired(expired.values(), now + WORTH_SENDING_S)
            self._pending.extend(entry for entry in joined if id(entry) not in elsewhere)
        return True

    def _repeat_lost(self, now: float) -> list[_Flight]:
        """Second sendings of the tasks that a worker has begun and, by all signs, will not answer."""
        with self._lock:
            silent = [
                flight
                for flight in self._flights.values()
                if flight.task_id
                and not (flight.again or flight.repeated)
                and now - flight.sent_at >= self._timeout_s * LOST_AFTER
            ]
        if not silent:
            return []
        queued = self._watch.queued({flight.task_id for flight in silent})
        if queued is None:
            return []
        begun = [flight for flight in silent if flight.task_id not in queued]
        served = bool(begun) and self._watch.is_served()
        with self._lock:
            for flight in begun:
                flight.lost = True
            return [repeat for flight in begun if served for repeat in self._split(flight)]

    def _split(self, flight: _Flight) -> list[_Flight]:
        """A task for each reading of a lost one that somebody still waits for. With the lock held."""
        flight.lost = flight.repeated = True
        soon = time.monotonic() + WORTH_SENDING_S
        repeats = [
            _Flight([entry], given_up_at=entry.deadline, again=True)
            for entry in flight.entries
            if entry.outcome is None and entry.deadline > soon
        ]
        self._flights.update((repeat.batch_id, repeat) for repeat in repeats)
        if repeats:
            log.warning("a task of %d readings was lost; each is sent again alone", len(flight.entries))
            metrics.LOST_TASKS.inc()
        return repeats


def _error_of(answer: Answer) -> ServiceError:
    return _ERRORS.get(answer.error_code, ScoringFailed)(answer.error_detail)
