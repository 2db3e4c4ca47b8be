"""Who scores which chunk of a job: a few chunks of each job on the queue, and a lease on those in hand.

Only a job's next few chunks are tasks at any time; whoever finishes one sends the next. Jobs thus take turns
on the queue instead of standing behind each other, and a million rows are no heap of messages.

A chunk in hand is leased: its worker renews the lease each second, so that a dead worker's chunk is free
again in seconds (`tasks/worker/recovery.py` sends it anew). Nothing depends on a lease being right: results
are stored and counted in one step, once, whoever brings them.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final, cast

import orjson
from redis import Redis

from settings import Settings
from tasks.jobs import job_scripts
from tasks.jobs.job_keys import OPEN_KEY, JobKeys, pack, unpack
from tasks.messaging.names import SCHEMA_VERSION, Queues, TaskNames
from tasks.messaging.task_publisher import TaskPublisher
from tasks.monitoring import heartbeats
from tasks.storage.redis_connection import OUTAGES

# A chunk whose worker dies this often is the cause of it.
MAX_ATTEMPTS: Final = 4
# A worker renews each second; one that is silent for so long has died, or is as good as dead.
LEASE_S: Final = 8.0
# A task that no worker has begun after so long may be lost: it is sent again, which does no harm.
SENT_S: Final = 60.0
# Or after so long, where nothing waits on the queue: a crash of Redis has taken it.
MISSED_S: Final = 5.0
# Tasks of one job at a time, for each worker process: one in hand and one that it finds when it is done.
CHUNKS_A_WORKER: Final = 2
# A job of more rows leaves one process to others. Somebody waits for what takes a second; what takes a minute
# must not have all processors.
LARGE_ROWS: Final = 20_000
ERRORS_SHOWN: Final = 10
WORKERS_KNOWN_S: Final = 2.0


class Counted(IntEnum):
    """What became of a chunk's results: counted before or not wanted, counted, or the job's last."""

    NOT = 0
    YES = 1
    LAST = 2


class Chunks:
    """The chunks of all jobs of one Redis server. Methods raise `redis.RedisError` when it is unreachable."""

    def __init__(self, settings: Settings, redis: Redis, publisher: TaskPublisher) -> None:
        self._redis = redis
        self._publisher = publisher
        self._retention_s = settings.job_retention_s
        self._take = redis.register_script(job_scripts.TAKE)
        self._lost = redis.register_script(job_scripts.LOST)
        self._begin = redis.register_script(job_scripts.BEGIN)
        self._renew = redis.register_script(job_scripts.RENEW)
        self._finish = redis.register_script(job_scripts.FINISH)
        self._return = redis.register_script(job_scripts.RETURN)
        self._in_hand: tuple[str, int] | None = None
        self._to_give_back: deque[tuple[str, int]] = deque()
        self._processes = 1
        self._processes_known_until = 0.0

    def feed(self, job_id: str) -> int:
        """Send so many of a job's chunks that the workers have enough of it; how many. Also raises
        `BrokerUnavailable`: what has not been sent then is sent a minute later."""
        keys = JobKeys(job_id)
        processes = self.processes()
        enough = CHUNKS_A_WORKER * processes
        enough_of_large = enough if processes == 1 else processes - 1
        args = [enough, SENT_S, self._retention_s, LARGE_ROWS, enough_of_large]
        taken = self._take(keys=[keys.record, keys.sent, keys.held], args=args)
        return self._send(job_id, cast(list[int], taken))

    def send_lost(self, job_id: str) -> int:
        """Send those again whose worker or message is gone; how many. Raises like `feed`."""
        keys = JobKeys(job_id)
        args = [SENT_S, self._retention_s, MISSED_S]
        lost = self._lost(keys=[keys.sent, keys.held, Queues.BATCH], args=args)
        return self._send(job_id, [int(chunk) for chunk in cast(list[bytes], lost)])

    def _send(self, job_id: str, chunks: Sequence[int]) -> int:
        messages = [{"v": SCHEMA_VERSION, "job_id": job_id, "chunk": chunk} for chunk in chunks]
        self._publisher.send_all(TaskNames.SCORE_CHUNK, messages, queue=Queues.BATCH)
        return len(chunks)

    def processes(self) -> int:
        """How many score chunks now, at least 1."""
        if time.monotonic() > self._processes_known_until:
            serving = sum(Queues.BATCH in worker.queues for worker in heartbeats.living(self._redis))
            self._processes = max(1, serving)
            self._processes_known_until = time.monotonic() + WORKERS_KNOWN_S
        return self._processes

    def open_jobs(self) -> list[str]:
        """Ids of jobs that have not ended. Jobs that have expired are taken off the list on the way."""
        found = []
        for raw in cast(set[bytes], self._redis.smembers(OPEN_KEY)):
            keys = JobKeys(raw.decode())
            if self._redis.exists(keys.record):
                found.append(keys.job_id)
            else:
                self._redis.unlink(*keys.all)
                self._redis.srem(OPEN_KEY, raw)
        return found

    @contextmanager
    def started(self, job_id: str, chunk: int, *, task_id: str, redelivered: bool) -> Iterator[int]:
        """Take a chunk in hand: which attempt at it this is; 0 when it is not to be scored.

        It is not when it is done, cancelled, forgotten, or in the hands of another who is alive; when the
        broker delivers a task again, whoever took that task is not. The lease is kept while the context
        lasts, by whoever calls `renew`. An attempt that ends in an outage of Redis is given back: it says
        nothing about the chunk.
        """
        self._give_back()
        keys = JobKeys(job_id)
        token = f"{task_id}:{uuid.uuid4().hex}"
        attempt = cast(
            int,
            self._begin(
                keys=[keys.record, keys.results, keys.sent, keys.held, keys.attempts],
                args=[chunk, LEASE_S, task_id if redelivered else "", token, self._retention_s],
            ),
        )
        self._in_hand = (job_id, chunk) if attempt else None
        try:
            yield attempt
        except OUTAGES:
            if attempt:
                self._to_give_back.append((job_id, chunk))
            raise
        finally:
            self._in_hand = None

    def _give_back(self) -> None:
        """Uncount the attempts that an outage of Redis has ended, once it can be reached again."""
        while True:
            try:
                job_id, chunk = returned = self._to_give_back.popleft()
            except IndexError:  # for two threads
                return
            try:
                self._return(keys=[JobKeys(job_id).attempts], args=[chunk])
            except OUTAGES:
                self._to_give_back.append(returned)
                raise

    def renew(self) -> None:
        """Renew the lease on the chunk in hand, if there is one. For another thread than the scoring one."""
        in_hand = self._in_hand
        if in_hand is not None:
            job_id, chunk = in_hand
            self._renew(keys=[JobKeys(job_id).held], args=[chunk, LEASE_S])
        self._give_back()

    def input(self, job_id: str, chunk: int) -> bytes | None:
        packed = cast(bytes | None, self._redis.hget(JobKeys(job_id).input, str(chunk)))
        return None if packed is None else unpack(packed)

    def finish(
        self,
        job_id: str,
        chunk: int,
        results: Sequence[bytes],
        *,
        failed: int,
        errors: Sequence[dict[str, Any]],
    ) -> Counted:
        """Store a chunk's results (one JSON each row) and count them, unless that was done before."""
        keys = JobKeys(job_id)
        counted: int = self._finish(
            keys=[
                *(keys.record, keys.results, keys.input, keys.sent, keys.held, keys.attempts, keys.errors),
                OPEN_KEY,
                keys.ended,
            ],
            args=[
                *(chunk, pack(b"\n".join(results)), len(results), failed, self._retention_s, job_id),
                ERRORS_SHOWN,
                *map(orjson.dumps, errors[:ERRORS_SHOWN]),
            ],
        )
        return Counted(counted)
