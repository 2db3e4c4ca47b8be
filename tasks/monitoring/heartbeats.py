"""Worker heartbeats in Redis, once a second: living processes, their queues and their models.

`/health`, `GET /api/v1/models` and the reload read these records. None of them sends a task to a worker, so
they respond at once even if all workers are busy.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, cast

import orjson
from redis import Redis

import metrics
from tasks.storage import redis_clock

log = logging.getLogger(__name__)

WORKERS_KEY: Final = "ml:workers"
GENERATION_KEY: Final = "ml:models:generation"
BEAT_S: Final = 1.0
RELOAD_POLL_S: Final = 0.1
# A worker without a heartbeat for this long counts as dead.
SILENT_AFTER_S: Final = 6.0


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker process. `generation` is the last reload request that it has carried out.

    `queues` are those that its worker takes tasks from now: none while it starts, reconnects or ends.
    `problem` is the reason for which models were refused, or None. `seen_at` is in epoch seconds.
    `clock_offset_s` is how far its host's clock is ahead of Redis; `beat` finds it out.
    """

    name: str
    pid: int
    queues: list[str]
    models: list[dict[str, Any]]
    problem: str | None
    generation: int
    seen_at: float
    clock_offset_s: float = 0.0

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> WorkerState:
        """The state in a heartbeat record. Fields added by newer releases are ignored."""
        return cls(**{each.name: record[each.name] for each in fields(cls) if each.name in record})

    @property
    def able(self) -> bool:
        """Whether it holds models. `problem` may still contain the reason why newer ones were refused."""
        return bool(self.models)


def beat(redis: Redis, state: WorkerState) -> int:
    """Write this process's heartbeat. Returns the newest requested reload generation.

    `seen_at` is the Redis server's time, so that hosts with different clocks agree. Raises
    `redis.RedisError`.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.time()
    pipeline.get(GENERATION_KEY)
    asked_at = time.monotonic()
    (seconds, micros), generation = pipeline.execute()
    _note("worker", asked_at, seconds + micros / 1e6)
    record = {
        "name": state.name,
        "pid": state.pid,
        "queues": state.queues,
        "models": state.models,
        "problem": state.problem,
        "generation": state.generation,
        "seen_at": seconds + micros / 1e6,
        "clock_offset_s": round(redis_clock.offset_s(), 3),
    }
    redis.hset(WORKERS_KEY, _field(state.name, state.pid), orjson.dumps(record))
    return int(generation or 0)


def note(program: str, redis: Redis) -> float:
    """Set the metrics of a heartbeat. Returns the Redis server's time, epoch seconds.

    Raises `redis.RedisError`.
    """
    asked_at = time.monotonic()
    seconds, micros = redis.time()
    _note(program, asked_at, seconds + micros / 1e6)
    return seconds + micros / 1e6


def _note(program: str, asked_at: float, server_time: float) -> None:
    metrics.HEARTBEAT_TIME.labels(program=program).set(time.time())
    redis_clock.note(server_time, asked_at)
    metrics.CLOCK_OFFSET.set(redis_clock.offset_s())


def sign_off(redis: Redis, name: str, pid: int) -> None:
    """Delete the heartbeat record of a process that stops. Raises `redis.RedisError`."""
    redis.hdel(WORKERS_KEY, _field(name, pid))


def living(redis: Redis) -> list[WorkerState]:
    """Worker processes with a heartbeat within `SILENT_AFTER_S`. Raises `redis.RedisError`.

    Older records are deleted.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(WORKERS_KEY)
    (seconds, micros), records = pipeline.execute()
    now = seconds + micros / 1e6
    found: list[tuple[bytes, WorkerState]] = []
    silent: list[tuple[bytes, WorkerState]] = []
    for field, raw in cast(dict[bytes, bytes], records).items():
        try:
            state = WorkerState.of_record(orjson.loads(raw))
        except (KeyError, TypeError, ValueError):
            log.debug("the heartbeat record %r cannot be read and is left out", field)
            continue
        (found if now - state.seen_at < SILENT_AFTER_S else silent).append((field, state))
    if silent:
        redis.hdel(WORKERS_KEY, *(field for field, _ in silent))
    return [state for _, state in sorted(found, key=lambda pair: pair[0])]


def reload(redis: Redis, *, timeout_s: float) -> tuple[list[WorkerState], bool]:
    """Request that every worker checks the model folder. Returns the workers, and whether all did so in time.

    Blocks `timeout_s` at most. Serving continues: a worker switches models between two tasks. Raises
    `redis.RedisError`.
    """
    generation = redis.incr(GENERATION_KEY)
    deadline = time.monotonic() + timeout_s
    while True:
        found = living(redis)
        settled = bool(found) and all(worker.generation >= generation for worker in found)
        if settled or time.monotonic() >= deadline:
            return found, settled
        time.sleep(RELOAD_POLL_S)


def _field(name: str, pid: int) -> str:
    return f"{name}:{pid}"
