"""Distribution of the jobs' chunks to workers: a few chunks per tenant on the queue, and leases.

At any time only a few chunks of a tenant are tasks, and the worker that finishes one sends the next. The
tenant's jobs take turns. So tenants take turns on the queue, however many jobs one has and however large they
are.

A worker renews the lease on its current chunk each second. A dead worker's chunk is thus free again in
seconds (`tasks/worker/recovery.py` resends it). Correctness does not depend on leases: results are stored and
counted in one step, once, whichever worker delivers them.
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

# A chunk whose worker dies this often is taken as the cause.
MAX_ATTEMPTS: Final = 4
# Workers renew each second. A worker without renewal for this long counts as dead.
LEASE_S: Final = 8.0
# A task that no worker has started after this time may be lost and is sent again, which is harmless.
SENT_S: Final = 60.0
# The same if the queue is empty: the task was lost in a crash of Redis.
MISSED_S: Final = 5.0
# Tasks of one tenant at a time, per worker process: the current one and the next one.
CHUNKS_A_WORKER: Final = 2
# Jobs of more rows, of one tenant together, leave one process to other jobs. A caller may wait for a job of a
# second, so a job of a minute must not occupy all processes.
LARGE_ROWS: Final = 20_000
# Jobs in one call of the script. Redis runs no other command meanwhile.
FED_AT_ONCE: Final = 64
ERRORS_SHOWN: Final = 10
WORKERS_KNOWN_S: Final = 2.0


class Counted(IntEnum):
    """Result of finishing a chunk: not counted (repeated or not wanted), counted, or counted as the last."""

    NOT = 0
    YES = 1
    LAST = 2


class Chunks:
    """The chunks of all jobs in one Redis server. Methods raise `redis.RedisError` if it is unreachable."""

    def __init__(self, settings: Settings, redis: Redis, publisher: TaskPublisher) -> None:
        self._redis = redis
        self._publisher = publisher
        self._retention_s = settings.job_retention_s
        self._feed = redis.register_script(job_scripts.FEED)
        self._lost = redis.register_script(job_scripts.LOST)
        self._begin = redis.register_script(job_scripts.BEGIN)
        self._renew = redis.register_script(job_scripts.RENEW)
        self._finish = redis.register_script(job_scripts.FINISH)
        self._return = redis.register_script(job_scripts.RETURN)
        self._in_hand: tuple[str, int] | None = None
        self._to_give_back: deque[tuple[str, int]] = deque()
        self._processes = 1
        self._processes_known_until = 0.0

    def feed(self, *job_ids: str) -> int:
        """Send the next chunks of these jobs' tenants, up to the workers' capacity. Returns the number sent.

        The jobs of a tenant take turns, so these may be chunks of its other jobs. Also raises
        `BrokerUnavailable`. Chunks that were not sent then are sent a minute later.
        """
        processes = self.processes()
        enough = CHUNKS_A_WORKER * processes
        enough_of_large = enough if processes == 1 else processes - 1
        args = [enough, enough_of_large, LARGE_ROWS, SENT_S, self._retention_s]
        taken = 0
        for first in range(0, len(job_ids), FED_AT_ONCE):
            found = self._feed(keys=[], args=[*args, *job_ids[first : first + FED_AT_ONCE]])
            pairs = cast(list[Any], found)
            taken += self._send(
                [(job_id.decode(), chunk) for job_id, chunk in zip(pairs[::2], pairs[1::2], strict=True)]
            )
        return taken

    def send_lost(self, job_id: str) -> int:
        """Resend chunks whose worker or message is lost. Returns the number sent. Raises like `feed`."""
        keys = JobKeys(job_id)
        args = [SENT_S, self._retention_s, MISSED_S]
        lost = self._lost(keys=[keys.sent, keys.held, Queues.BATCH], args=args)
        return self._send([(job_id, int(chunk)) for chunk in cast(list[bytes], lost)])

    def _send(self, chunks: Sequence[tuple[str, int]]) -> int:
        messages = [{"v": SCHEMA_VERSION, "job_id": job_id, "chunk": chunk} for job_id, chunk in chunks]
        self._publisher.send_all(TaskNames.SCORE_CHUNK, messages, queue=Queues.BATCH)
        return len(chunks)

    def processes(self) -> int:
        """Number of processes that score chunks now, at least 1."""
        if time.monotonic() > self._processes_known_until:
            serving = sum(Queues.BATCH in worker.queues for worker in heartbeats.living(self._redis))
            self._processes = max(1, serving)
            self._processes_known_until = time.monotonic() + WORKERS_KNOWN_S
        return self._processes

    def open_jobs(self) -> list[str]:
        """Ids of jobs that have not ended. Expired jobs are removed from the set."""
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
        """Lease a chunk for the context. Yields the number of this attempt, or 0 if it must not be scored.

        It is 0 if the chunk is done, cancelled, expired, or leased to a living worker. With `redelivered`, a
        lease taken for the same task counts as dead, because the broker delivers a task again only then.
        Another thread must call `renew` meanwhile. An attempt that ends in a Redis outage is uncounted, as
        the chunk is not its cause.
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
        """Uncount the attempts that ended in a Redis outage, once Redis is reachable again."""
        while True:
            try:
                job_id, chunk = returned = self._to_give_back.popleft()
            except IndexError:  # two threads call this
                return
            try:
                self._return(keys=[JobKeys(job_id).attempts], args=[chunk])
            except OUTAGES:
                self._to_give_back.append(returned)
                raise

    def renew(self) -> None:
        """Renew the lease on the current chunk, if any. Called by another thread than the scoring one."""
        in_hand = self._in_hand
        if in_hand is not None:
            job_id, chunk = in_hand
            self._renew(keys=[JobKeys(job_id).held], args=[chunk, LEASE_S])
        self._give_back()

    def input(self, job_id: str, chunk: int) -> bytes | None:
        """The chunk's encoded rows, or None if they were deleted or have expired."""
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
        """Store a chunk's results (one JSON per row) and count them, unless this was done before."""
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
