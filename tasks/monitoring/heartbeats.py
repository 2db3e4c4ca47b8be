"""What the workers say of themselves, once a second, in Redis: who lives, on which queue, with which models.

`/health`, `GET /api/v1/models` and the reload all read this; none of them asks a worker over the queue, so
they answer at once whatever the workers do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, cast

import orjson
from redis import Redis

log = logging.getLogger(__name__)

WORKERS_KEY: Final = "ml:workers"
GENERATION_KEY: Final = "ml:models:generation"
BEAT_S: Final = 1.0
RELOAD_POLL_S: Final = 0.1
# After this long without a word a worker counts as gone.
SILENT_AFTER_S: Final = 6.0


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker process. `generation` is the last request to reload that it has carried out."""

    name: str
    pid: int
    queues: list[str]
    models: list[dict[str, Any]]
    problem: str | None
    generation: int
    seen_at: float

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> WorkerState:
        """The state in a heartbeat record. Fields that a newer release added are ignored."""
        return cls(**{each.name: record[each.name] for each in fields(cls) if each.name in record})

    @property
    def able(self) -> bool:
        """Whether it holds models to answer with; `problem` may still say why a newer one was refused."""
        return bool(self.models)


def beat(redis: Redis, state: WorkerState) -> int:
    """Say that this process lives; the answer is the newest generation asked for.

    `seen_at` is taken from the Redis server, so that hosts with other clocks agree. Raises
    `redis.RedisError`.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.time()
    pipeline.get(GENERATION_KEY)
    (seconds, micros), generation = pipeline.execute()
    record = {
        "name": state.name,
        "pid": state.pid,
        "queues": state.queues,
        "models": state.models,
        "problem": state.problem,
        "generation": state.generation,
        "seen_at": seconds + micros / 1e6,
    }
    redis.hset(WORKERS_KEY, _field(state.name, state.pid), orjson.dumps(record))
    return int(generation or 0)


def sign_off(redis: Redis, name: str, pid: int) -> None:
    redis.hdel(WORKERS_KEY, _field(name, pid))


def living(redis: Redis) -> list[WorkerState]:
    """The worker processes that have spoken within `SILENT_AFTER_S`. Raises `redis.RedisError`."""
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
    """Have every worker look at the model folder again; the workers, and whether all have done so in time.

    Blocks `timeout_s` at most. Requests go on being answered: a worker switches between two tasks.
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
