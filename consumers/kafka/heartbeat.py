"""What this consumer says of itself in Redis, and what it learns there of the workers, once a second."""

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

from settings import Settings
from tasks.messaging.names import Queues
from tasks.monitoring import heartbeats
from tasks.monitoring.service_health import CONSUMERS_KEY
from tasks.storage.redis_connection import connect

log = logging.getLogger(__name__)

State = Literal["running", "paused", "disconnected"]
Role = Literal["consumer", "ocpp"]
# The record of a consumer that has been silent for this long is removed by the others.
FORGOTTEN_AFTER_S: Final = 60.0
# No step of the loop waits for half as long; whoever started this process starts another.
HUNG_AFTER_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Status:
    """`running`; `paused` (polling goes on, nothing is fetched); or `disconnected` from Kafka.

    `reason` is a sentence for people, empty while running. `lag` counts records without an outcome.
    """

    state: State
    reason: str = ""
    lag: int = 0
    partitions: int = 0


class Heartbeat:
    """Keeps the consumer's record current from a thread of its own. Its attributes may be read by any."""

    def __init__(self, settings: Settings, *, role: Role = "consumer") -> None:
        self._role = role
        self._redis = connect(settings.redis_url)
        self._group_id = settings.kafka_group_id
        self._host = socket.gethostname()
        self._field = f"{self._host}:{os.getpid()}"
        self._stopped = threading.Event()
        self._loop_at = time.monotonic()
        self._status = Status("disconnected", "starting")
        # Why nothing can be scored now, a sentence; None when workers are there.
        self.pause_reason: str | None = "no word from Redis yet"
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Its log lines have the fields that the caller has bound."""
        run = partial(contextvars.copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and remove the record. Blocks about 2 s at most."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        try:
            self._redis.hdel(CONSUMERS_KEY, self._field)
        except RedisError:
            log.debug("could not sign off; the record goes stale by itself")

    @property
    def status(self) -> Status:
        return self._status

    def set_status(self, status: Status) -> None:
        """What the next beat reports. A change of state or reason is logged, once."""
        self._loop_at = time.monotonic()
        before, self._status = self._status, status
        if (before.state, before.reason) != (status.state, status.reason):
            level = logging.INFO if status.state == "running" else logging.WARNING
            log.log(level, "%s%s", status.state, f": {status.reason}" if status.reason else "")

    def record_loop(self, now: float) -> None:
        """The loop has made a turn, `now` in `time.monotonic()` seconds."""
        self._loop_at = now

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._beat()
                self.pause_reason = _pause_reason(heartbeats.living(self._redis))
            except RedisError as error:
                log.debug("no heartbeat: %s", error)
                self.pause_reason = "Redis cannot be reached"
            except Exception:
                log.exception("heartbeat failed")
            if time.monotonic() - self._loop_at > HUNG_AFTER_S:
                log.critical("the loop has hung for %.0f s; ending the process", HUNG_AFTER_S)
                os._exit(1)
            self._stopped.wait(heartbeats.BEAT_S)

    def _beat(self) -> None:
        seconds, micros = self._redis.time()
        now = seconds + micros / 1e6
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
    records = cast(dict[bytes, bytes], redis.hgetall(CONSUMERS_KEY))
    silent = [
        field
        for field, record in records.items()
        if now - orjson.loads(record).get("seen_at", 0) > FORGOTTEN_AFTER_S
    ]
    if silent:
        redis.hdel(CONSUMERS_KEY, *cast(list[str], silent))  # the stubs know no bytes


def _pause_reason(living: list[heartbeats.WorkerState]) -> str | None:
    serving = [worker for worker in living if Queues.STREAM in worker.queues]
    if not serving:
        return f"no worker reads the queue {Queues.STREAM}"
    if not any(worker.able for worker in serving):
        problems = sorted({worker.problem for worker in serving if worker.problem})
        return f"no worker holds models ({'; '.join(problems) or 'loading'})"
    return None
