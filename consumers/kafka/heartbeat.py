"""Report this consumer's status to Redis, and read the workers' status there, once a second."""

from __future__ import annotations

import contextvars
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, cast

import orjson
from redis import Redis, RedisError

from admin_port import Health
from consumers.kafka.noted_dead_letters import NotedDeadLetters
from consumers.kafka.pending_erasures import PendingErasures
from settings import Settings
from tasks.messaging.names import Queues
from tasks.monitoring import heartbeats
from tasks.monitoring.service_health import CONSUMERS_KEY, consumer_records
from tasks.storage.redis_connection import connect

log = logging.getLogger(__name__)

State = Literal["running", "paused", "disconnected"]
Role = Literal["consumer", "ocpp"]
# Consumers remove the records of others that have not been updated for this long.
FORGOTTEN_AFTER_S: Final = 60.0
# No step of the loop takes half as long. The supervisor restarts the process.
HUNG_AFTER_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Status:
    """A consumer's status: `running`, `paused` (polls but fetches nothing), or `disconnected` from Kafka.

    `reason` is a sentence for operators; while running it is empty, unless some records wait for a limit.
    `lag` is the number of records without an outcome, `partitions` the number of assigned partitions.
    """

    state: State
    reason: str = ""
    lag: int = 0
    partitions: int = 0


class Heartbeat:
    """Updates the consumer's record in Redis from its own thread. Any thread may read its attributes."""

    def __init__(self, settings: Settings, *, role: Role = "consumer") -> None:
        self._role = role
        self._redis = connect(settings.redis_url)
        # Requests to erase state.
        self.erasures: Final = PendingErasures(self._redis, role)
        # Looks of dead letters that have been committed.
        self.dead_letters: Final = NotedDeadLetters(self._redis)
        self._group_id = settings.kafka_group_id
        self._host = socket.gethostname()
        self._field = f"{self._host}:{os.getpid()}"
        self._stopped = threading.Event()
        self._loop_at = time.monotonic()
        self._status = Status("disconnected", "starting")
        # The reason why no record can be scored now, a sentence; None if workers are available.
        self.pause_reason: str | None = "no reply from Redis yet"
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Its log lines contain the fields that the caller has bound."""
        run = partial(contextvars.copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and remove the record. Blocks for about 2 s at most."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        try:
            self._redis.hdel(CONSUMERS_KEY, self._field)
        except RedisError:
            log.debug("could not sign off; the record goes stale by itself")

    @property
    def status(self) -> Status:
        """The last status that was set."""
        return self._status

    def health(self) -> Health:
        """The health for the admin port. Paused is not ready. Does not block."""
        status = self._status
        running = status.state == "running"
        detail = status.reason or f"{status.partitions} partitions, {status.lag} records behind"
        return Health(running, running, {self._role: ("ok" if running else "down", detail)})

    def set_status(self, status: Status) -> None:
        """Set the status for the next heartbeat. Logs a change of state or reason."""
        self._loop_at = time.monotonic()
        before, self._status = self._status, status
        if (before.state, before.reason) != (status.state, status.reason):
            level = logging.INFO if status.state == "running" else logging.WARNING
            log.log(level, "%s%s", status.state, f": {status.reason}" if status.reason else "")

    def record_loop(self, now: float) -> None:
        """Record an iteration of the loop, at `now` in `time.monotonic()` seconds.

        The process is ended if none is recorded for 120 s.
        """
        self._loop_at = now

    def beat(self) -> None:
        """Write the record, look at the workers and for requests, once. Blocks for Redis; raises nothing."""
        try:
            self._write()
            self.erasures.refresh()
            self.pause_reason = _pause_reason(heartbeats.living(self._redis))
            self.dead_letters.store()
        except RedisError as error:
            log.debug("no heartbeat: %s", error)
            self.pause_reason = "Redis cannot be reached"
        except Exception:
            log.exception("heartbeat failed")

    def is_hung(self) -> bool:
        """Whether the loop has made no turn for so long that the process has to end."""
        return time.monotonic() - self._loop_at > HUNG_AFTER_S

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.beat()
            if self.is_hung():
                log.critical("the loop has hung for %.0f s; ending the process", HUNG_AFTER_S)
                os._exit(1)
            self._stopped.wait(heartbeats.BEAT_S)

    def _write(self) -> None:
        now = heartbeats.note(self._role, self._redis)
        status = self._status
        record = {
            "name": f"{self._role}@{self._host}",
            "role": self._role,
            "pid": os.getpid(),
            "group_id": self._group_id,
            "state": status.state,
            "reason": status.reason,
            "lag": status.lag,
            "partitions": status.partitions,
            "seen_at": now,
        }
        self._redis.hset(CONSUMERS_KEY, self._field, orjson.dumps(record))
        _forget_silent(self._redis, now)


def _forget_silent(redis: Redis, now: float) -> None:
    silent = [
        field
        for field, record in consumer_records(redis).items()
        if now - record["seen_at"] > FORGOTTEN_AFTER_S
    ]
    if silent:
        redis.hdel(CONSUMERS_KEY, *cast(list[str], silent))  # the stubs lack bytes


def _pause_reason(living: list[heartbeats.WorkerState]) -> str | None:
    serving = [worker for worker in living if Queues.STREAM in worker.queues]
    if not serving:
        return f"no worker reads the queue {Queues.STREAM}"
    if not any(worker.able for worker in serving):
        problems = sorted({worker.problem for worker in serving if worker.problem})
        return f"no worker holds models ({'; '.join(problems) or 'loading'})"
    return None
