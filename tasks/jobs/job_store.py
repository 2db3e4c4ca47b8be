"""Batch jobs: record, input and results of each, in Redis. The job record is authoritative, not the queue.

A job is split into chunks with equal numbers of rows. Its input is stored before any task is sent.
`tasks/jobs/chunks.py` distributes the chunks to workers.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import orjson
from redis import Redis
from redis.client import Pipeline

from errors import BrokerUnavailable, UnknownJob
from settings import Settings
from tasks.jobs.job_keys import OPEN_KEY, JobKeys, index_key, pack, unpack
from tasks.jobs.job_limits import Reservation
from tasks.jobs.job_record import Encoding, Job, JobKind, job_from
from tasks.jobs.job_scripts import CANCEL
from tasks.storage import redis_clock
from tasks.storage.redis_connection import connect

# Results, one JSON line per row, in one list per chunk.
Lines = Iterator[list[bytes]]
# A draft without further input, e.g. because its web process died, expires after this time.
DRAFT_TTL_S: Final = 600
LOOKED_UP_AT_ONCE: Final = 100
IS_JOB_ID: Final = re.compile(r"[0-9a-f]{32}").fullmatch


class Draft:
    """A job whose input is still arriving. It is not visible until `commit`.

    `ignored_columns` and `blank_lines` are set when all input has arrived.
    """

    def __init__(
        self, redis: Redis, retention_s: int, fields: dict[str, Any], reservation: Reservation | None
    ) -> None:
        self.job_id: Final = uuid.uuid4().hex if reservation is None else reservation.job_id
        self._reservation = reservation
        self._input_bytes = 0
        self.chunk_rows = int(fields["chunk_rows"])
        self.rows = 0
        self.ignored_columns: Sequence[str] = ()
        self.blank_lines = 0
        self._redis = redis
        self._retention_s = retention_s
        self._fields = fields
        self._keys = JobKeys(self.job_id)
        self._chunks = 0

    def add(self, rows: int, data: bytes) -> None:
        """Store the next chunk. All chunks but the last must have `chunk_rows` rows.

        Raises `RateLimited` or `BatchTooLarge` if it is over a limit.
        """
        packed = pack(data)
        if self._reservation is not None:
            self._reservation.add(len(packed), rows)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(self._keys.input, str(self._chunks), cast(Any, packed))
        pipeline.expire(self._keys.input, DRAFT_TTL_S)
        pipeline.execute()
        self._chunks += 1
        self._input_bytes += len(packed)
        self.rows += rows

    def commit(self, extra_commands: Callable[[Pipeline], object] = lambda pipeline: None) -> Job:
        """Make the draft a durable job, with `extra_commands` in the same transaction.

        Raises `BrokerUnavailable` if Redis has lost chunks in a crash: it writes to disk once a second.
        """
        tenant = self._fields["tenant"] or None
        created_at = self._fields["created_at"]
        fields = self._fields | {"total": self.rows, "chunks": self._chunks}
        # Fields that the releases before do not know, and ignore.
        fields["input_bytes"] = self._input_bytes
        if self.ignored_columns:
            fields["ignored_columns"] = orjson.dumps(self.ignored_columns).decode()
        if self.blank_lines:
            fields["blank_lines"] = self.blank_lines
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.watch(self._keys.input)  # type: ignore[no-untyped-call]  # untyped there
            if pipeline.hlen(self._keys.input) != self._chunks:
                raise BrokerUnavailable("Redis has lost a part of this batch.")
            pipeline.multi()
            pipeline.hset(self._keys.record, mapping=cast(dict[Any, Any], fields))
            pipeline.sadd(OPEN_KEY, self.job_id)
            pipeline.expire(self._keys.record, self._retention_s)
            pipeline.expire(self._keys.input, self._retention_s)
            pipeline.zadd(index_key(tenant), {self.job_id: created_at})
            # Retention starts at a job's end, which may be long after its creation, hence the factor 2.
            pipeline.zremrangebyscore(index_key(tenant), "-inf", created_at - 2 * self._retention_s)
            pipeline.expire(index_key(tenant), 2 * self._retention_s)
            extra_commands(pipeline)
            if self._reservation is not None:
                self._reservation.settle(pipeline)
            pipeline.execute()
        held = {name: str(value) for name, value in fields.items()}
        return job_from(self.job_id, held, [], expires_at=round(redis_clock.now() + self._retention_s))

    def discard(self) -> None:
        """Delete the stored chunks."""
        self._redis.unlink(self._keys.input)


class JobStore:
    """Jobs in one Redis server. Every method raises `redis.RedisError` if it is unreachable."""

    def __init__(self, settings: Settings, redis: Redis | None = None) -> None:
        self._redis: Redis = redis or connect(settings.redis_url)
        self._retention_s = settings.job_retention_s
        self._cancel = self._redis.register_script(CANCEL)

    def draft(
        self,
        *,
        kind: JobKind,
        tenant: str | None,
        store: bool,
        remember: bool = False,
        encoding: Encoding,
        chunk_rows: int,
        now: float,
        trace: str | None = None,
        reservation: Reservation | None = None,
    ) -> Draft:
        """A new draft, to be filled with chunks of `chunk_rows` rows.

        With a `reservation` its chunks count for the limits of a key and tenant.
        """
        fields: dict[str, Any] = {
            "tenant": tenant or "",
            "kind": kind,
            "store": int(store),
            "remember": int(remember),
            "encoding": encoding,
            "status": "PENDING",
            "done": 0,
            "failed": 0,
            "chunk_rows": chunk_rows,
            "created_at": now,
            "next": 0,
        }
        if trace is not None:
            fields["trace"] = trace
        return Draft(self._redis, self._retention_s, fields, reservation)

    def get(self, job_id: str, tenant: str | None) -> Job:
        """A tenant's job. Raises `UnknownJob`, also for a job of another tenant."""
        # Only valid ids are looked up, because `ID:errors` would name another key of the job.
        job = self.find(job_id) if IS_JOB_ID(job_id) else None
        if job is None or job.tenant != tenant:
            raise UnknownJob(f"No job {job_id}.")
        return job

    def find(self, job_id: str) -> Job | None:
        """The job of any tenant, or None. `job_id` must be valid."""
        return self._find([job_id])[0]

    def _find(self, job_ids: Sequence[str]) -> list[Job | None]:
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hgetall(JobKeys(job_id).record)
            pipeline.lrange(JobKeys(job_id).errors, 0, -1)
            pipeline.pttl(JobKeys(job_id).record)
        answers = pipeline.execute()
        now = redis_clock.now()
        return [
            job_from(
                job_id,
                {name.decode(): value.decode() for name, value in record.items()},
                errors,
                expires_at=round(now + max(left_ms, 0) / 1000),
            )
            if record
            else None
            for job_id, record, errors, left_ms in zip(
                job_ids, answers[::3], answers[1::3], answers[2::3], strict=True
            )
        ]

    def newest_first(self, tenant: str | None) -> Iterator[Job]:
        """A tenant's jobs, newest first."""
        ids = [raw.decode() for raw in cast(list[bytes], self._redis.zrevrange(index_key(tenant), 0, -1))]
        for start in range(0, len(ids), LOOKED_UP_AT_ONCE):
            yield from filter(None, self._find(ids[start : start + LOOKED_UP_AT_ONCE]))

    def cancel(self, job: Job, now: float) -> bool:
        """Cancel a job; False if it had ended. Chunks being scored are not counted any more."""
        keys = JobKeys(job.job_id)
        names = [keys.record, keys.input, keys.sent, keys.held, keys.attempts, OPEN_KEY, keys.ended]
        return bool(self._cancel(keys=names, args=[now, job.job_id]))

    @contextmanager
    def end_of(self, job_id: str) -> Iterator[Callable[[float], object]]:
        """Subscribe to a running job's end. Yields a function that waits for it, for some seconds at most.

        It may return early, and the message may be lost with a connection, so read the job afterwards.
        """
        with self._redis.pubsub(ignore_subscribe_messages=True) as listener:  # type: ignore[no-untyped-call]  # untyped there
            listener.subscribe(JobKeys(job_id).ended)
            yield lambda seconds: listener.get_message(timeout=seconds)

    def scored(self, job: Job, start: int) -> list[range]:
        """Rows from `start` on with results. Up to the first gap while running; a cancelled job may have
        gaps."""
        if job.done == job.total:
            return [range(start, job.total)] if start < job.total else []
        found: list[range] = []
        chunks = range(start // job.chunk_rows, -(-job.total // job.chunk_rows))
        for first in range(0, len(chunks), LOOKED_UP_AT_ONCE):
            some = chunks[first : first + LOOKED_UP_AT_ONCE]
            pipeline = self._redis.pipeline(transaction=False)
            for chunk in some:
                pipeline.hexists(JobKeys(job.job_id).results, str(chunk))
            for chunk, there in zip(some, pipeline.execute(), strict=True):
                rows = range(chunk * job.chunk_rows, min((chunk + 1) * job.chunk_rows, job.total))
                if there:
                    found.append(range(max(start, rows.start), rows.stop))
                elif not job.ended:
                    return found
        return found

    def lines(self, job: Job, start: int) -> Lines:
        """The results of the rows of `scored`, as JSON lines in input order, one list per chunk."""
        for rows, text in self.texts(job, start // job.chunk_rows):
            yield text.split(b"\n")[max(0, start - rows.start) :]

    def texts(self, job: Job, chunk: int = 0) -> Iterator[tuple[range, bytes]]:
        """Results from a chunk on, as stored: row numbers of each chunk, and its lines as one text."""
        keys = JobKeys(job.job_id)
        for first in range(chunk * job.chunk_rows, job.total, job.chunk_rows):
            packed = cast(bytes | None, self._redis.hget(keys.results, str(first // job.chunk_rows)))
            if packed is not None:
                yield range(first, min(first + job.chunk_rows, job.total)), unpack(packed)
            elif not job.ended:
                return
