"""Batch jobs: the record of each, its input and its results, all in Redis; the queue is not the record.

A job is cut into chunks of equally many rows. Its input is stored before any task is sent. Who scores which
chunk is the matter of `tasks/jobs/chunks.py`.
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
# How a chunk's rows are written: JSON, a line each; CSV with the header; an Arrow IPC stream.
Encoding = Literal["ndjson", "csv", "arrow"]
# Results, one JSON a row, a chunk at a time.
Lines = Iterator[list[bytes]]
# A draft that nobody adds to or seals (its web process died) is gone after this long.
DRAFT_TTL_S: Final = 600
LOOKED_UP_AT_ONCE: Final = 100
IS_JOB_ID: Final = re.compile(r"[0-9a-f]{32}").fullmatch


@dataclass(frozen=True, slots=True)
class Job:
    """One job's record. Times are epoch seconds; `done` counts rows with a result, failed ones included.

    `errors` are the first problems of rows: `{row, pointer, detail, code}`. `recent_rows_per_s` leaves out
    the time for which the service was away; it is None until some rows are done.
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
        return self.status in ENDED

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return KINDS if self.kind == "all" else (self.kind,)

    def rows_per_s(self, now: float) -> float | None:
        """Rows done a second: of late while the job runs, of the whole run once it has ended; None before
        the first."""
        if self.started_at is None or not self.done:
            return None
        if not self.ended and self.recent_rows_per_s is not None:
            return self.recent_rows_per_s
        return self.done / max((self.finished_at or now) - self.started_at, 1e-3)

    def eta_s(self, now: float) -> float | None:
        """Seconds until the end at the rate of late; None where that cannot be said."""
        if self.ended:
            return 0.0
        rate = self.rows_per_s(now)
        return None if rate is None else (self.total - self.done) / rate

    def document(self, now: float) -> dict[str, Any]:
        """The job as the HTTP contract shows it."""
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
    """A job whose input still arrives. Nobody sees it until it is sealed."""

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
        """The next chunk. Each has as many rows as the job's chunks have, but the last may have fewer."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(self._keys.input, str(self._chunks), cast(Any, pack(data)))
        pipeline.expire(self._keys.input, DRAFT_TTL_S)
        pipeline.execute()
        self._chunks += 1
        self.rows += rows

    def commit(self, extra_commands: Callable[[Pipeline], object] = lambda pipeline: None) -> Job:
        """Make it a job: from now on it is never lost. `extra_commands` take effect with it or not at all.

        Raises `BrokerUnavailable` where a crash has taken chunks with it: Redis writes to its disk once a
        second, and was back before we could notice.
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
            # A job may run for a while and is kept from its end on; the list forgets a little later.
            pipeline.zremrangebyscore(index_key(tenant), "-inf", created_at - 2 * self._retention_s)
            pipeline.expire(index_key(tenant), 2 * self._retention_s)
            extra_commands(pipeline)
            pipeline.execute()
        return _job(self.job_id, {name: str(value) for name, value in fields.items()}, [])

    def discard(self) -> None:
        self._redis.unlink(self._keys.input)


class JobStore:
    """Jobs of one Redis server. Every method raises `redis.RedisError` when it is unreachable."""

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
        """A job to be filled with chunks of `chunk_rows` rows."""
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
        """Raises `UnknownJob`, also for another tenant's."""
        # Nothing else is looked up: `ID:errors` would name another of the job's keys.
        job = self.find(job_id) if IS_JOB_ID(job_id) else None
        if job is None or job.tenant != tenant:
            raise UnknownJob(f"No job {job_id}.")
        return job

    def find(self, job_id: str) -> Job | None:
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
        """A tenant's jobs."""
        ids = [raw.decode() for raw in cast(list[bytes], self._redis.zrevrange(index_key(tenant), 0, -1))]
        for start in range(0, len(ids), LOOKED_UP_AT_ONCE):
            yield from filter(None, self._find(ids[start : start + LOOKED_UP_AT_ONCE]))

    def cancel(self, job: Job, now: float) -> bool:
        """Whether the job was still under way. A chunk that a worker has begun is not counted any more."""
        keys = JobKeys(job.job_id)
        names = [keys.record, keys.input, keys.sent, keys.held, keys.attempts, OPEN_KEY, keys.ended]
        return bool(self._cancel(keys=names, args=[now, job.job_id]))

    @contextmanager
    def end_of(self, job_id: str) -> Iterator[Callable[[float], object]]:
        """What to call, with a number of seconds, to wait for the end of a job that is under way from here
        on. It may return early, and the word of the end may be lost with a connection: look at the job."""
        with self._redis.pubsub(ignore_subscribe_messages=True) as listener:  # type: ignore[no-untyped-call]  # untyped there
            listener.subscribe(JobKeys(job_id).ended)
            yield lambda seconds: listener.get_message(timeout=seconds)

    def scored(self, job: Job, start: int) -> list[range]:
        """The rows from `start` on that have results. Of a job under way those up to the first gap; one that
        was cancelled may have gaps for ever."""
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
        """The results of `scored`, as JSON in input order, a chunk at a time."""
        for rows, text in self.texts(job, start // job.chunk_rows):
            yield text.split(b"\n")[max(0, start - rows.start) :]

    def texts(self, job: Job, chunk: int = 0) -> Iterator[tuple[range, bytes]]:
        """The same from a chunk on, as they are stored: whose rows, and their lines in one."""
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
