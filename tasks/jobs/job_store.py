"""Batch jobs: record, input and results of each, in Redis. The job record is authoritative, not the queue.

A job is split into chunks with equal numbers of rows. Its input is stored before any task is sent.
`tasks/jobs/chunks.py` distributes the chunks to workers.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import orjson
from redis import Redis
from redis.client import Pipeline

from errors import BrokerUnavailable, UnknownJob
from readings.reading import KINDS, Kind, epoch_rfc3339
from settings import Settings
from tasks.jobs.job_keys import OPEN_KEY, JobKeys, index_key, pack, unpack
from tasks.jobs.job_scripts import CANCEL
from tasks.storage.redis_connection import connect

JobKind = Kind | Literal["all"]
JOB_KINDS: Final[tuple[JobKind, ...]] = (*KINDS, "all")
STATUSES: Final = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")
ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
# Encoding of a chunk's rows: one JSON line per row, CSV with a header, or an Arrow IPC stream.
Encoding = Literal["ndjson", "csv", "arrow"]
# Results, one JSON line per row, in one list per chunk.
Lines = Iterator[list[bytes]]
# A draft without further input, e.g. because its web process died, expires after this time.
DRAFT_TTL_S: Final = 600
LOOKED_UP_AT_ONCE: Final = 100
IS_JOB_ID: Final = re.compile(r"[0-9a-f]{32}").fullmatch


@dataclass(frozen=True, slots=True)
class Job:
    """One job's record. Times are epoch seconds. `done` counts rows with a result, failed ones included.

    `errors` are the first row problems: `{row, pointer, detail, code}`. `recent_rows_per_s` excludes downtime
    of the service; it is None until some rows are done.
    """

    job_id: str
    tenant: str | None
    kind: JobKind
    store: bool
    encoding: Encoding
    status: str
    total: int
    done: int
    failed: int
    chunk_rows: int
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    recent_rows_per_s: float | None = None
    errors: Sequence[dict[str, Any]] = ()

    @property
    def ended(self) -> bool:
        """Whether the job has succeeded, failed or been cancelled."""
        return self.status in ENDED

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The prediction kinds to score."""
        return KINDS if self.kind == "all" else (self.kind,)

    def rows_per_s(self, now: float) -> float | None:
        """Rows per second, recently or, of an ended job, on average. None before the first row."""
        if self.started_at is None or not self.done:
            return None
        if not self.ended and self.recent_rows_per_s is not None:
            return self.recent_rows_per_s
        return self.done / max((self.finished_at or now) - self.started_at, 1e-3)

    def eta_s(self, now: float) -> float | None:
        """Seconds until the end at the recent rate; None before the first row."""
        if self.ended:
            return 0.0
        rate = self.rows_per_s(now)
        return None if rate is None else (self.total - self.done) / rate

    def document(self, now: float) -> dict[str, Any]:
        """The job as JSON values, as returned by the HTTP API."""
        eta_s, rate = self.eta_s(now), self.rows_per_s(now)
        return {
            "job_id": self.job_id,
            "tenant_id": self.tenant,
            "kind": self.kind,
            "status": self.status,
            "total": self.total,
            "done": self.done,
            "failed": self.failed,
            "progress": round(self.done / self.total, 4),
            "created_at": epoch_rfc3339(self.created_at),
            "started_at": epoch_rfc3339(self.started_at),
            "finished_at": epoch_rfc3339(self.finished_at),
            "rows_per_second": None if rate is None else round(rate, 1),
            "eta_seconds": None if eta_s is None else round(eta_s, 1),
            "errors": list(self.errors),
        }


class Draft:
    """A job whose input is still arriving. It is not visible until `commit`."""

    def __init__(self, redis: Redis, retention_s: int, fields: dict[str, Any]) -> None:
        self.job_id: Final = uuid.uuid4().hex
        self.chunk_rows = int(fields["chunk_rows"])
        self.rows = 0
        self._redis = redis
        self._retention_s = retention_s
        self._fields = fields
        self._keys = JobKeys(self.job_id)
        self._chunks = 0

    def add(self, rows: int, data: bytes) -> None:
        """Store the next chunk. All chunks but the last must have `chunk_rows` rows."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(self._keys.input, str(self._chunks), cast(Any, pack(data)))
        pipeline.expire(self._keys.input, DRAFT_TTL_S)
        pipeline.execute()
        self._chunks += 1
        self.rows += rows

    def commit(self, extra_commands: Callable[[Pipeline], object] = lambda pipeline: None) -> Job:
        """Make the draft a durable job, with `extra_commands` in the same transaction.

        Raises `BrokerUnavailable` if Redis has lost chunks in a crash: it writes to disk once a second.
        """
        tenant = self._fields["tenant"] or None
        created_at = self._fields["created_at"]
        fields = self._fields | {"total": self.rows, "chunks": self._chunks}
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
            pipeline.execute()
        return _job(self.job_id, {name: str(value) for name, value in fields.items()}, [])

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
        encoding: Encoding,
        chunk_rows: int,
        now: float,
    ) -> Draft:
        """A new draft, to be filled with chunks of `chunk_rows` rows."""
        fields = {
            "tenant": tenant or "",
            "kind": kind,
            "store": int(store),
            "encoding": encoding,
            "status": "PENDING",
            "done": 0,
            "failed": 0,
            "chunk_rows": chunk_rows,
            "created_at": now,
            "next": 0,
        }
        return Draft(self._redis, self._retention_s, fields)

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
        answers = pipeline.execute()
        return [
            _job(job_id, {name.decode(): value.decode() for name, value in record.items()}, errors)
            if record
            else None
            for job_id, record, errors in zip(job_ids, answers[::2], answers[1::2], strict=True)
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


def _job(job_id: str, held: dict[str, str], errors: list[bytes]) -> Job:
    return Job(
        job_id=job_id,
        tenant=held["tenant"] or None,
        kind=cast(JobKind, held["kind"]),
        store=held["store"] == "1",
        encoding=cast(Encoding, held["encoding"]),
        status=held["status"],
        total=int(held["total"]),
        done=int(held["done"]),
        failed=int(held["failed"]),
        chunk_rows=int(held["chunk_rows"]),
        created_at=float(held["created_at"]),
        started_at=float(held["started_at"]) if "started_at" in held else None,
        finished_at=float(held["finished_at"]) if "finished_at" in held else None,
        recent_rows_per_s=float(held["pace_rows"]) / max(float(held["pace_s"]), 1e-3)
        if "pace_s" in held
        else None,
        errors=sorted(map(orjson.loads, errors), key=lambda error: (error["row"], error["pointer"])),
    )
