"""Jobs of kind `erase`: acceptance, and resending until they have ended.

They use the record, lease and results of other jobs, as a job of one row. They are not among the open jobs,
for the workers of an older release would score those. A sorted set of their own has the time at which the
task of each is to be sent again. It may have been lost with its worker, or may have stopped to wait.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import orjson
from redis import Redis
from redis.client import Pipeline

from errors import BrokerUnavailable
from settings import Settings
from tasks.jobs.job_keys import JobKeys, index_key, pack, unpack
from tasks.jobs.job_record import Job
from tasks.jobs.job_store import JobStore
from tasks.messaging.names import SCHEMA_VERSION, Queues, TaskNames
from tasks.messaging.task_publisher import TaskPublisher

log = logging.getLogger(__name__)

DUE_KEY: Final = "ml:jobs:erasing"
# The only chunk of such a job.
CHUNK: Final = 0
# Longer than the lease of a dead worker. A repeated task of a living one ends at once.
RESEND_S: Final = 10.0
# Time until the next step, while the job waits.
PAUSE_S: Final = 1.0
# An accepted erasure waits this long for a batch worker.
OPEN_FOR_S: Final = 30 * 86_400

# Take the erasures that are due, and postpone them by the time of one attempt.
_TAKE_DUE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], now + ARGV[1], id) end
return due
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What to erase: a charger of a tenant (None: of requests without one), or with no charger a tenant.

    `key_id` is the key that asked, `request_id` the request.
    """

    tenant: str | None
    charger_id: str | None
    key_id: str = ""
    request_id: str = ""


class Erasures:
    """Erasures in one Redis server. Methods raise `redis.RedisError` if it is unreachable."""

    def __init__(self, settings: Settings, redis: Redis, publisher: TaskPublisher, jobs: JobStore) -> None:
        self._redis = redis
        self._publisher = publisher
        self._jobs = jobs
        self._retention_s = settings.job_retention_s
        self._take_due = redis.register_script(_TAKE_DUE)

    def submit(self, target: Target, *, owner: str | None, trace: str | None = None) -> Job:
        """Accept an erasure as a job of the tenant `owner`, and send its task.

        The job is stored first. Without a queue, a worker finds it later.
        """
        job_id = uuid.uuid4().hex
        keys = JobKeys(job_id)
        seconds, micros = self._redis.time()
        now = seconds + micros / 1e6
        record: dict[str, Any] = {
            "tenant": owner or "",
            "kind": "erase",
            "store": 0,
            "encoding": "ndjson",
            "status": "PENDING",
            "total": 1,
            "done": 0,
            "failed": 0,
            "chunks": 1,
            "chunk_rows": 1,
            "next": 1,
            "created_at": now,
        }
        if trace is not None:
            record["trace"] = trace
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(keys.record, mapping=cast(dict[Any, Any], record))
            # Not in the record, which stays with the receipt: the target has the id.
            pipeline.hset(keys.input, str(CHUNK), cast(Any, pack(orjson.dumps(asdict(target)))))
            pipeline.expire(keys.record, OPEN_FOR_S)
            pipeline.expire(keys.input, OPEN_FOR_S)
            pipeline.zadd(index_key(owner), {job_id: now})
            pipeline.expire(index_key(owner), 2 * self._retention_s)
            pipeline.zadd(DUE_KEY, {job_id: now + RESEND_S})
            pipeline.execute()
        job = self._jobs.find(job_id)
        if job is None:
            raise BrokerUnavailable("Redis has lost this erasure.")
        try:
            self._send([job_id])
        except BrokerUnavailable as error:
            log.warning("erasure %s waits for a worker to find it: %s", job_id, error)
        return job

    def send_due(self) -> int:
        """Send the tasks that are due. Returns their number. Raises `BrokerUnavailable` too."""
        due = [raw.decode() for raw in cast(list[bytes], self._take_due(keys=[DUE_KEY], args=[RESEND_S]))]
        return self._send(due)

    def _send(self, job_ids: list[str]) -> int:
        messages = [{"v": SCHEMA_VERSION, "job_id": job_id} for job_id in job_ids]
        self._publisher.send_all(TaskNames.ERASE, messages, queue=Queues.BATCH)
        return len(job_ids)

    def target(self, job_id: str) -> Target | None:
        """The target of an open erasure; None if it has ended."""
        packed = cast(bytes | None, self._redis.hget(JobKeys(job_id).input, str(CHUNK)))
        return None if packed is None else Target(**orjson.loads(unpack(packed)))

    def close(self, job_id: str) -> None:
        """Send no more tasks of a job that has ended or expired."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zrem(DUE_KEY, job_id)
            pipeline.unlink(JobKeys(job_id).steps)
            pipeline.execute()

    def pause(self, job_id: str, reason: str) -> None:
        """Release the lease after a step, and have the next one started soon. `reason` is for the caller.

        An attempt that ends here was no failure, and is not counted.
        """
        keys = JobKeys(job_id)
        seconds, micros = self._redis.time()
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(keys.record, "waiting_for", reason)
            pipeline.zrem(keys.held, str(CHUNK))
            pipeline.hset(keys.attempts, str(CHUNK), 0)
            pipeline.zadd(DUE_KEY, {job_id: seconds + micros / 1e6 + PAUSE_S})
            pipeline.execute()

    def explain(self, job_id: str, reason: str) -> None:
        """Store the reason why an attempt failed, for the caller."""
        self._redis.hset(JobKeys(job_id).record, "waiting_for", reason)

    def steps(self, job_id: str) -> dict[str, str]:
        """The progress of an erasure, as noted by its steps."""
        found = cast(dict[bytes, bytes], self._redis.hgetall(JobKeys(job_id).steps))
        return {name.decode(): value.decode() for name, value in found.items()}

    def note(
        self,
        job_id: str,
        fields: Mapping[str, str | int],
        counts: Mapping[str, int],
        *,
        also: Callable[[Pipeline], object] = lambda pipeline: None,
    ) -> None:
        """Store fields of the progress, and add to its counts. `also` adds commands to the transaction."""
        keys = JobKeys(job_id)
        with self._redis.pipeline(transaction=True) as pipeline:
            if fields:
                pipeline.hset(keys.steps, mapping=cast(dict[Any, Any], fields))
            for name, number in counts.items():
                if number:
                    pipeline.hincrby(keys.steps, f"count:{name}", number)
            pipeline.expire(keys.steps, OPEN_FOR_S)
            also(pipeline)
            pipeline.execute()
