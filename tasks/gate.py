"""The only door to the queue for single readings: cache, batch, wait, limit.

Natural batching: a request that finds no task of this process under way sends its own at once, so an idle
service adds no delay. What arrives meanwhile waits in memory and travels together in the next task, which
goes out when a reply comes in. No timer is involved; the batch is bounded by `MAX_BATCH` and each reading by
its own deadline. Equal readings of one charger share one place (single flight).

A task whose worker died is sent once more, each reading in a task of its own, so that one that kills workers
takes nobody with it. Mostly the worker's parent process tells of the death (`tasks/lost.py`). Where nothing
is heard for a while, a task counts as lost when it is off the queue and a worker is there to do better: while
it is on the queue it has only not been begun, and sending it twice would double the work of a slow worker.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import metrics
from errors import BrokerUnavailable, PredictionTimeout, QueueFull, ScoringFailed, ServiceError
from models.reading import Kind, Reading
from settings import Settings
from tasks.cache import VerdictCache
from tasks.inbox import Inbox
from tasks.messages import TASK_LOST, Answer, Ask, ScoreMessage
from tasks.names import Queues, TaskNames
from tasks.sender import Sender
from tasks.sweep import ExpiredSweeper, QueueWatch

log = logging.getLogger(__name__)

MAX_BATCH: Final = 64
# Tasks of one process under way at once. One would leave a worker idle while its reply travels.
MAX_FLIGHTS: Final = 2
# The share of the deadline that a task may take before its process is killed, and after which one that is
# neither answered nor on the queue counts as lost: both leave time for a second sending.
KILLED_AFTER: Final = 0.34
LOST_AFTER: Final = 0.42
# A second sending needs this long to be of use to anybody.
WORTH_SENDING_S: Final = 0.1
# After a task went unanswered its queue is swept for this long: it may expire a moment later than its flight.
SWEEP_FOR_S: Final = 5.0

_NO_ANSWER: Final = Answer(error_code=TASK_LOST, error_detail="The worker gave another number of answers.")

EntryKey = tuple[Kind, str | None, str]


@dataclass(slots=True)
class _Entry:
    """One reading that somebody waits for. Times are `time.monotonic()` seconds."""

    ask: Ask
    deadline: float
    done: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None
    error: ServiceError | None = None


@dataclass(slots=True)
class _Flight:
    """One task under way. `entries` are in the order of the task's readings.

    `lost`: not to be waited for, its place in the window is free; a late reply still counts. `again`: a
    second sending, and the last.
    """

    entries: list[tuple[EntryKey, _Entry]]
    given_up_at: float
    sent_at: float = field(default_factory=time.monotonic)
    task_id: str = ""
    again: bool = False
    lost: bool = False
    repeated: bool = False


class Gate:
    """Predictions for threads that wait. One instance for a process; safe to share between its threads."""

    def __init__(self, settings: Settings, cache: VerdictCache) -> None:
        self._timeout_s = settings.sync_timeout_s
        self._places = threading.BoundedSemaphore(settings.max_waiting)
        self._cache = cache
        self._sender = Sender(settings)
        self._sweeper = ExpiredSweeper(settings, Queues.SINGLE)
        self._watch = QueueWatch(settings, Queues.SINGLE)
        self._inbox = Inbox(
            settings, on_reply=self._on_reply, on_tick=self._on_tick, on_unreachable=self._fail_pending
        )
        self._lock = threading.Lock()
        self._pending: OrderedDict[EntryKey, _Entry] = OrderedDict()
        self._entries: dict[EntryKey, _Entry] = {}  # pending and under way: what a new request may join
        self._flights: dict[str, _Flight] = {}
        self._sweep_until = 0.0
        self._inbox.start()

    def close(self) -> None:
        self._inbox.stop()

    def predict(self, kind: Kind, reading: Reading, tenant: str | None) -> bytes:
        """The verdict as a JSON body, from the cache or from a worker.

        Blocks for the setting `ML_SYNC_TIMEOUT` at most. Raises `QueueFull`, `BrokerUnavailable`,
        `PredictionTimeout` or `ScoringFailed`.
        """
        deadline = time.monotonic() + self._timeout_s
        fingerprint = reading.fingerprint()
        cached = self._cache.get(kind, reading.charger_id, tenant, fingerprint=fingerprint)
        if cached is not None:
            return cached
        with self.place():
            entry = self._enter(kind, reading, tenant, fingerprint, deadline)
            entry.done.wait(max(0.0, deadline - time.monotonic()))
        if entry.error is not None:
            raise entry.error
        if entry.answer is None:
            raise PredictionTimeout(f"No verdict within {self._timeout_s:g} s.")
        if entry.answer.error_code is not None:
            raise ScoringFailed(entry.answer.error_detail)
        return entry.answer.body

    def place(self) -> _Place:
        """A place among those that may wait, as a context. Raises `QueueFull` when all are taken."""
        return _Place(self._places)

    def _enter(
        self, kind: Kind, reading: Reading, tenant: str | None, fingerprint: str, deadline: float
    ) -> _Entry:
        key = (kind, tenant, fingerprint)
        expires_at = time.time() + (deadline - time.monotonic())
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:  # single flight
                return entry
            entry = _Entry(Ask(kind, tenant, reading, fingerprint, expires_at), deadline)
            self._entries[key] = self._pending[key] = entry
            departure = self._next_flight()
        if departure is not None:
            self._depart(*departure)
        return entry

    def _next_flight(self) -> tuple[str, _Flight] | None:
        """The next batch, if one may leave now. Called with the lock held."""
        if sum(not (flight.lost or flight.again) for flight in self._flights.values()) >= MAX_FLIGHTS:
            return None
        now = time.monotonic()
        boarding: list[tuple[EntryKey, _Entry]] = []
        while self._pending and len(boarding) < MAX_BATCH:
            key, entry = self._pending.popitem(last=False)
            if entry.deadline > now:
                boarding.append((key, entry))
            else:
                self._entries.pop(key, None)
        if not boarding:
            return None
        flight = _Flight(boarding, given_up_at=max(entry.deadline for _, entry in boarding))
        batch_id = uuid.uuid4().hex
        self._flights[batch_id] = flight
        return batch_id, flight

    def _depart(self, batch_id: str, flight: _Flight) -> None:
        message = ScoreMessage(
            batch_id, self._inbox.address, [entry.ask for _, entry in flight.entries], door="rest"
        )
        metrics.BATCH_READINGS.observe(len(flight.entries))
        try:
            flight.task_id = self._sender.send(
                TaskNames.SCORE,
                message.encode(),
                queue=Queues.SINGLE,
                expires_s=max(0.1, flight.given_up_at - time.monotonic()),
                time_limit_s=self._timeout_s * KILLED_AFTER,
            )
        except ServiceError as error:
            with self._lock:
                self._flights.pop(batch_id, None)
            for key, entry in flight.entries:
                self._settle(key, entry, error=error)
            self._fail_pending()

    def _fail_pending(self) -> None:
        """The broker is gone: those that wait to be sent would only meet the same fault, later."""
        with self._lock:
            waiting = list(self._pending.items())
            self._pending.clear()
        for key, entry in waiting:
            self._settle(key, entry, error=BrokerUnavailable("The task queue cannot be reached."))

    def _on_reply(self, batch_id: str, answers: list[Answer]) -> None:
        repeats: list[tuple[str, _Flight]] = []
        with self._lock:
            flight = self._flights.pop(batch_id, None)
            if flight is not None and len(answers) != len(flight.entries):
                answers = [_NO_ANSWER] * len(flight.entries)
            if flight is not None and answers[0].error_code == TASK_LOST and not flight.again:
                self._flights[batch_id] = flight  # its callers still wait, for the second sending
                repeats = [] if flight.repeated else self._split(flight)
                flight = None
            departure = self._next_flight()
        if flight is not None:  # else: nobody waits any more; the worker has cached the verdicts
            for (key, entry), answer in zip(flight.entries, answers, strict=True):
                self._settle(key, entry, answer=answer)
        self._depart_all(repeats, departure)

    def _on_tick(self) -> None:
        now = time.monotonic()
        if self._forget_expired(now):
            self._sweep_until = now + SWEEP_FOR_S
        repeats = self._repeat_lost(now)
        with self._lock:
            departure = self._next_flight()
        if now < self._sweep_until:
            self._sweeper.sweep()
        self._depart_all(repeats, departure)

    def _forget_expired(self, now: float) -> bool:
        """Forget the flights whose last caller has gone. Whether there were any."""
        with self._lock:
            gone = [batch_id for batch_id, flight in self._flights.items() if flight.given_up_at <= now]
            for batch_id in gone:
                for key, entry in self._flights.pop(batch_id).entries:
                    if self._entries.get(key) is entry:
                        del self._entries[key]
        return bool(gone)

    def _repeat_lost(self, now: float) -> list[tuple[str, _Flight]]:
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

    def _split(self, flight: _Flight) -> list[tuple[str, _Flight]]:
        """A task for each reading of a lost one that somebody still waits for. With the lock held."""
        flight.lost = flight.repeated = True
        soon = time.monotonic() + WORTH_SENDING_S
        repeats = {
            uuid.uuid4().hex: _Flight([(key, entry)], given_up_at=entry.deadline, again=True)
            for key, entry in flight.entries
            if not entry.done.is_set() and entry.deadline > soon
        }
        self._flights.update(repeats)
        if repeats:
            log.warning("a task of %d readings was lost; each is sent again alone", len(flight.entries))
            metrics.LOST_TASKS.inc()
        return list(repeats.items())

    def _depart_all(self, repeats: list[tuple[str, _Flight]], departure: tuple[str, _Flight] | None) -> None:
        if departure is not None:
            repeats = [departure, *repeats]
        for batch_id, flight in repeats:
            self._depart(batch_id, flight)

    def _settle(
        self, key: EntryKey, entry: _Entry, *, answer: Answer | None = None, error: ServiceError | None = None
    ) -> None:
        """The first answer counts: of two sendings both may be answered."""
        with self._lock:
            if entry.done.is_set():
                return
            if self._entries.get(key) is entry:
                del self._entries[key]
            entry.answer, entry.error = answer, error
            entry.done.set()


class _Place:
    """One of the places for those that wait; taken on entry, given back on exit."""

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> None:
        if not self._places.acquire(blocking=False):
            raise QueueFull("Too many requests are waiting already.")
        metrics.WAITING.inc()

    def __exit__(self, *_: object) -> None:
        metrics.WAITING.dec()
        self._places.release()
