"""Write the records of alerts to Redis, in a thread, so that the loop never waits for it.

A record is written after the commit of its alert. A crash in between, or a lost Redis, leaves records that
differ from the alerts. Sweeps repair them: the open alerts of each assigned partition are written again,
after its assignment and then regularly. Other open records of the partition are closed.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import orjson
from redis import Redis

import metrics
from consumers.kafka.offsets import Partition
from consumers.kafka.pending_erasures import IsErased
from consumers.predictions.alerts import AlertKey, OpenAlert, opened
from settings import Settings
from tasks.messaging.task_publisher import TaskPublisher
from tasks.notify.cloud_events import Event, alert_closed, alert_opened
from tasks.notify.outbox import Outbox
from tasks.storage.alert_records import AlertChange, AlertRecords, Written, epoch_ms, written
from tasks.storage.redis_connection import OUTAGES, connect

log = logging.getLogger(__name__)

# In one transaction. Redis runs it without others in between: 64 take 1 to 3 ms.
CHANGES_AT_ONCE: Final = 64
# Beyond it changes are dropped, and the next sweep repairs their records. They take about 1 kB each.
CHANGES_KEPT: Final = 50_000
RETRY_S: Final = 1.0
CLOSE_S: Final = 2.0
SWEEP_EVERY_S: Final = 60.0
# Longer for many open alerts: a sweep costs about 20 us of this process, and of Redis, for each.
SWEPT_PER_S: Final = 1_000


@dataclass(slots=True, eq=False)
class _Sweep:
    """A sweep under way. `began_ms` is its start in the server's time, None before."""

    partition: Partition
    alerts: list[tuple[AlertKey, OpenAlert]]
    began_ms: int | None = None
    next: int = 0


class AlertRecorder:
    """The writer of one process. Its methods are called by the loop's thread."""

    def __init__(self, settings: Settings, redis: Redis | None = None) -> None:
        self._redis = redis or connect(settings.redis_url)
        self._records = AlertRecords(settings, self._redis)
        self._outbox = Outbox(self._redis, TaskPublisher(settings))
        self._changes: deque[AlertChange] = deque()
        self._sweeps: deque[_Sweep] = deque()
        # Held while changes are taken and written, so that an erasure finds none under way.
        self._writing = threading.Lock()
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Its log lines contain the fields that the caller has bound."""
        run = partial(contextvars.copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="alert-recorder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left, and stop the thread. Blocks for about 2 s at most."""
        self._stopped.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout=CLOSE_S)

    def add(self, changes: Iterable[AlertChange]) -> None:
        """Queue the changes of a committed batch. Does not block."""
        for change in changes:
            if len(self._changes) >= CHANGES_KEPT:
                metrics.ALERT_RECORDS_DROPPED.labels(reason="queue").inc()
            else:
                self._changes.append(change)
        self._woken.set()

    def sweep(self, partition: Partition, alerts: list[tuple[AlertKey, OpenAlert]]) -> None:
        """Queue a sweep of a partition with these open alerts. Does not block."""
        self._sweeps.append(_Sweep(partition, alerts))
        self._woken.set()

    def is_sweeping(self, partition: Partition) -> bool:
        """Whether a sweep of the partition has not ended."""
        return any(sweep.partition == partition for sweep in tuple(self._sweeps))

    def drop(self, partitions: Collection[Partition] | None = None) -> None:
        """Give up sweeps of partitions that other members own now; None: all. Blocks as `erase` does."""
        with self._writing:
            kept = [] if partitions is None else [e for e in self._sweeps if e.partition not in partitions]
            self._sweeps = deque(kept)

    def erase(self, concerns: IsErased) -> None:
        """Drop what is queued of erased chargers. Blocks until a write under way has ended, for about 1 s."""
        with self._writing:
            kept = [each for each in self._changes if not concerns(each.tenant, each.charger_id)]
            self._changes = deque(kept)
            for sweep in self._sweeps:
                sweep.alerts = [
                    (key, alert)
                    for key, alert in sweep.alerts[sweep.next :]
                    if not concerns(key.tenant, key.charger_id)
                ]
                sweep.next = 0

    def _run(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            try:
                while self.step():
                    pass
            except OUTAGES as error:
                log.debug("records of alerts wait: %s", error)
                if not self._stopped.wait(RETRY_S):
                    self._woken.set()
            if self._stopped.is_set():
                return

    def step(self) -> bool:
        """Write some changes, or else some of a sweep; returns whether there was anything to write.

        Blocks for a few round trips. Raises `OUTAGES`; nothing is lost then.
        """
        with self._writing:
            try:
                if self._changes:
                    self._write_changes()
                elif self._sweeps and not self._stopped.is_set():
                    self._go_on(self._sweeps[0])
                else:
                    return False
            except OUTAGES:
                raise
            except Exception:
                log.exception("records of alerts could not be written; the next sweep repairs them")
                metrics.UNEXPECTED_ERRORS.labels(unit="record").inc()
                self._give_up()
            return True

    def _write_changes(self) -> None:
        some = [self._changes[i] for i in range(min(CHANGES_AT_ONCE, len(self._changes)))]
        found = self._execute(some)
        if found.full:
            metrics.ALERT_RECORDS_DROPPED.labels(reason="open").inc(found.full)
            log.warning("%d alerts have no record: their tenants have too many open ones", found.full)
        for _ in some:
            self._changes.popleft()

    def _go_on(self, sweep: _Sweep) -> None:
        if sweep.began_ms is None:
            sweep.began_ms = self._records.now_ms()
        number = sweep.partition.partition
        if sweep.next < len(sweep.alerts):
            pairs = sweep.alerts[sweep.next : sweep.next + CHANGES_AT_ONCE]
            some = [opened(number, *pair) for pair in pairs]
            self._execute(some, are_new=False)
            sweep.next += len(some)
            return
        stale = self._records.stale(number, sweep.began_ms, CHANGES_AT_ONCE)
        if stale:
            self._execute(stale)
        else:
            self._sweeps.remove(sweep)

    def _execute(self, changes: Sequence[AlertChange], *, are_new: bool = True) -> Written:
        """Write changes and their events in one transaction.

        Those of a sweep are new where the record is missing. A change may be new twice, if a reply is lost or
        this process dies; its event has the same id then.
        """
        new = changes if are_new else self._records.missing(changes)
        if new and not are_new:
            log.info("%d records of open alerts were missing, and are written again", len(new))
        with self._redis.pipeline(transaction=True) as pipeline:
            recorded = self._records.to_store(changes)
            announced = self._outbox.to_store([_event(each) for each in new])
            for command in (*recorded, *announced):
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped there
            replies = pipeline.execute()
        found = written(replies[: len(recorded)])
        metrics.ALERT_RECORDS.labels(change="opened").inc(found.opened)
        metrics.ALERT_RECORDS.labels(change="closed").inc(found.closed)
        if found.removed:
            metrics.ALERT_RECORDS_DROPPED.labels(reason="closed").inc(found.removed)
        return found

    def _give_up(self) -> None:
        if self._changes:
            for _ in range(min(CHANGES_AT_ONCE, len(self._changes))):
                self._changes.popleft()
        elif self._sweeps:
            self._sweeps.popleft()


def _event(change: AlertChange) -> Event:
    """The event of an alert that opens or closes, at the time of its reading."""
    is_open = change.closed_at is None
    moment = change.opened_at if change.closed_at is None else change.closed_at
    verdict = change.opening if is_open else change.closing
    data = {
        "alert": change.kind,
        "state": "open" if is_open else "closed",
        "opened_at": change.opened_at,
        "closed_at": change.closed_at,
        "verdict": None if verdict is None else orjson.loads(verdict),
    }
    make = alert_opened if is_open else alert_closed
    at = epoch_ms(moment) / 1000
    return make(change.alert_id, change.charger_id, data, tenant=change.tenant, at=at)


class SweepTimes:
    """The times of the next sweep of each partition, in seconds of a clock. One instance per `Stream`."""

    def __init__(self) -> None:
        self._next: dict[Partition, float] = {}

    def due(self, partitions: Collection[Partition], now: float) -> list[Partition]:
        """The partitions to sweep: newly assigned ones, and those whose time has come."""
        self._next = {each: at for each, at in self._next.items() if each in partitions}
        return [each for each in partitions if self._next.get(each, now) <= now]

    def note(self, partition: Partition, now: float, alerts: int) -> None:
        """Set the time of the next sweep of a partition, which has so many open alerts."""
        self._next[partition] = now + max(SWEEP_EVERY_S, alerts / SWEPT_PER_S)
