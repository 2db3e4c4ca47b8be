"""Batch jobs: the record of each, its input and its results, all in Redis; the queue is not the record.

A job is cut into chunks. A chunk's input is stored with the job before any task is sent, its result is
stored and counted in one step, so that a chunk scored twice counts once. Everything of a job expires
together.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, Literal, cast

import orjson
from redis import Redis

from errors import UnknownJob
from models.reading import KINDS, Kind
from settings import Settings
from tasks.connection import connect
from tasks.names import tenant_prefix

JobKind = Kind | Literal["all"]
JOB_KINDS: Final[tuple[JobKind, ...]] = (*KINDS, "all")
STATUSES: Final = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")
ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
# Ids of jobs that have not ended, for those who look after them.
OPEN_KEY: Final = "ml:jobs:open"
# A chunk whose worker dies this often is the cause of it.
MAX_ATTEMPTS: Final = 3

# Start a chunk: count the attempt, and say whether it is still wanted.
_BEGIN = """
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'CANCELLED' then return 0 end
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then return 0 end
if status == 'PENDING' then redis.call('HSET', KEYS[1], 'status', 'RUNNING', 'started_at', ARGV[2]) end
redis.call('HSET', KEYS[1], 'touched_at', ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'attempts:' .. ARGV[1], 1)
"""

# Store a chunk's result and count it, once; the last one ends the job.
_FINISH = """
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'CANCELLED' then return 0 end
if redis.call('SADD', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('EXPIRE', KEYS[2], ARGV[6])
redis.call('SET', KEYS[3], ARGV[2], 'EX', ARGV[6])
redis.call('DEL', KEYS[4])
redis.call('HSET', KEYS[1], 'touched_at', ARGV[5])
local done = redis.call('HINCRBY', KEYS[1], 'done', ARGV[3])
local failed = redis.call('HINCRBY', KEYS[1], 'failed', ARGV[4])
local total = tonumber(redis.call('HGET', KEYS[1], 'total'))
if done >= total then
  redis.call('HSET', KEYS[1], 'finished_at', ARGV[5],
             'status', failed >= total and 'FAILED' or 'SUCCEEDED')
  redis.call('SREM', KEYS[5], ARGV[7])
  return 2
end
return 1
"""

_CANCEL = """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'PENDING' or status == 'RUNNING' then
  redis.call('HSET', KEYS[1], 'status', 'CANCELLED', 'finished_at', ARGV[1])
  return 1
end
return 0
"""


class Counted(IntEnum):
    """What became of a chunk's results: counted before or not wanted, counted, or the job's last."""

    NOT = 0
    YES = 1
    LAST = 2


@dataclass(frozen=True, slots=True)
class Job:
    """One job's record. Times are epoch seconds; `done` counts rows with a result, failed ones included."""

    job_id: str
    tenant: str | None
    kind: JobKind
    store: bool
    status: str
    total: int
    done: int
    failed: int
    chunk_rows: int
    created_at: float
    started_at: float | None
    finished_at: float | None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return KINDS if self.kind == "all" else (self.kind,)

    def eta_s(self, now: float) -> float | None:
        """Seconds until the end at the rate so far; None where that cannot be said."""
        if self.ended:
            return 0.0
        if self.started_at is None or not self.done:
            return None
        return (self.total - self.done) * (now - self.started_at) / self.done

    def document(self, now: float) -> dict[str, Any]:
        """The job as the HTTP contract shows it."""
        eta_s = self.eta_s(now)
        return {
            "job_id": self.job_id,
            "tenant_id": self.tenant,
            "kind": self.kind,
            "status": self.status,
            "total": self.total,
            "done": self.done,
            "failed": self.failed,
            "progress": round(self.done / self.total, 4),
            "created_at": _rfc3339(self.created_at),
            "started_at": _rfc3339(self.started_at),
            "finished_at": _rfc3339(self.finished_at),
            "eta_seconds": None if eta_s is None else round(eta_s, 1),
        }


class JobStore:
    """Jobs of one Redis server. Every method raises `redis.RedisError` when it is unreachable."""

    def __init__(self, settings: Settings, redis: Redis | None = None) -> None:
        self._redis: Redis = redis or connect(settings.redis_url)
        self._retention_s = settings.job_retention_s
        self._chunk_rows = settings.batch_chunk_rows
        self._begin = self._redis.register_script(_BEGIN)
        self._finish = self._redis.register_script(_FINISH)
        self._cancel = self._redis.register_script(_CANCEL)

    def create(
        self, rows: Sequence[Any], *, kind: JobKind, tenant: str | None, store: bool, now: float
    ) -> tuple[Job, list[int]]:
        """Record a job with its input (decoded JSON rows, at least one); the chunks to send for it."""
        job = Job(
            job_id=uuid.uuid4().hex,
            tenant=tenant,
            kind=kind,
            store=store,
            status="PENDING",
            total=len(rows),
            done=0,
            failed=0,
            chunk_rows=self._chunk_rows,
            created_at=now,
            started_at=None,
            finished_at=None,
        )
        chunks = list(range(0, len(rows), self._chunk_rows))
        pipeline = self._redis.pipeline(transaction=True)
        for number, start in enumerate(chunks):
            encoded = orjson.dumps(list(rows[start : start + self._chunk_rows]))
            pipeline.set(_input_key(job.job_id, number), encoded, ex=self._retention_s)
        fields = {
            "tenant": tenant or "",
            "kind": kind,
            "store": int(store),
            "status": job.status,
            "total": job.total,
            "done": 0,
            "failed": 0,
            "chunk_rows": self._chunk_rows,
            "created_at": now,
            "touched_at": now,
        }
        pipeline.sadd(OPEN_KEY, job.job_id)
        pipeline.hset(_job_key(job.job_id), mapping=cast(dict[Any, Any], fields))
        pipeline.expire(_job_key(job.job_id), self._retention_s)
        pipeline.zadd(_index_key(tenant), {job.job_id: now})
        pipeline.zremrangebyscore(_index_key(tenant), "-inf", now - self._retention_s)
        pipeline.expire(_index_key(tenant), self._retention_s)
        pipeline.execute()
        return job, list(range(len(chunks)))

    def forget(self, job: Job) -> None:
        """Remove a job that could not be enqueued."""
        keys = [_input_key(job.job_id, number) for number in range(_chunk_count(job))]
        self._redis.delete(_job_key(job.job_id), *keys)
        self._redis.zrem(_index_key(job.tenant), job.job_id)

    def get(self, job_id: str, tenant: str | None) -> Job:
        """Raises `UnknownJob`, also for another tenant's."""
        job = self.find(job_id)
        if job is None or job.tenant != tenant:
            raise UnknownJob(f"No job {job_id}.")
        return job

    def find(self, job_id: str) -> Job | None:
        raw = cast(dict[bytes, bytes], self._redis.hgetall(_job_key(job_id)))
        if not raw:
            return None
        held = {key.decode(): value.decode() for key, value in raw.items()}
        return Job(
            job_id=job_id,
            tenant=held["tenant"] or None,
            kind=cast(JobKind, held["kind"]),
            store=held["store"] == "1",
            status=held["status"],
            total=int(held["total"]),
            done=int(held["done"]),
            failed=int(held["failed"]),
            chunk_rows=int(held["chunk_rows"]),
            created_at=float(held["created_at"]),
            started_at=float(held["started_at"]) if "started_at" in held else None,
            finished_at=float(held["finished_at"]) if "finished_at" in held else None,
        )

    def recent(self, tenant: str | None, *, offset: int, limit: int, status: str | None) -> list[Job]:
        """A tenant's jobs, newest first, at most `limit` after `offset`, with that status if one is named."""
        found: list[Job] = []
        for job in self._newest_first(tenant):
            if status is not None and job.status != status:
                continue
            if offset > 0:
                offset -= 1
                continue
            found.append(job)
            if len(found) == limit:
                break
        return found

    def _newest_first(self, tenant: str | None) -> Iterator[Job]:
        for raw in cast(list[bytes], self._redis.zrevrange(_index_key(tenant), 0, -1)):
            job = self.find(raw.decode())
            if job is not None:
                yield job

    def cancel(self, job: Job, now: float) -> bool:
        """Whether the job was still under way. A chunk that a worker has begun is not counted any more."""
        return bool(self._cancel(keys=[_job_key(job.job_id)], args=[now]))

    def results(self, job: Job, *, start: int, limit: int) -> list[bytes]:
        """Results as JSON in input order from row `start`, at most `limit`, up to the first missing one."""
        found: list[bytes] = []
        while len(found) < limit and start < job.total:
            chunk, skip = divmod(start, job.chunk_rows)
            raw = cast(bytes | None, self._redis.get(_result_key(job.job_id, chunk)))
            if raw is None:
                break
            lines = raw.split(b"\n")[skip : skip + limit - len(found)]
            found += lines
            start += len(lines)
        return found

    def abandoned(self, *, untouched_since: float) -> list[tuple[str, list[int]]]:
        """Open jobs that no worker has touched since then, each with the chunks that are not done.

        Jobs that were cancelled or have expired are taken off the list of open ones on the way.
        """
        found = []
        for raw in cast(set[bytes], self._redis.smembers(OPEN_KEY)):
            job_id = raw.decode()
            job = self.find(job_id)
            if job is None or job.ended:
                self._redis.srem(OPEN_KEY, job_id)
                continue
            touched = cast(bytes | None, self._redis.hget(_job_key(job_id), "touched_at"))
            if float(touched or 0) <= untouched_since:
                done = {int(chunk) for chunk in cast(set[bytes], self._redis.smembers(_done_key(job_id)))}
                found.append((job_id, [n for n in range(_chunk_count(job)) if n not in done]))
        return found

    def touch(self, job_id: str, now: float) -> None:
        self._redis.hset(_job_key(job_id), "touched_at", now)

    def begin_chunk(self, job_id: str, chunk: int, now: float) -> int:
        """Which attempt at this chunk begins now; 0 when it is done, cancelled or forgotten."""
        return cast(int, self._begin(keys=[_job_key(job_id), _done_key(job_id)], args=[chunk, now]))

    def chunk_input(self, job_id: str, chunk: int) -> list[Any] | None:
        raw = cast(bytes | None, self._redis.get(_input_key(job_id, chunk)))
        return None if raw is None else cast(list[Any], orjson.loads(raw))

    def finish_chunk(
        self, job_id: str, chunk: int, results: Sequence[bytes], *, failed: int, now: float
    ) -> Counted:
        """Store a chunk's results (one JSON each row) and count them, unless that was done before."""
        counted: int = self._finish(
            keys=[
                _job_key(job_id),
                _done_key(job_id),
                _result_key(job_id, chunk),
                _input_key(job_id, chunk),
                OPEN_KEY,
            ],
            args=[chunk, b"\n".join(results), len(results), failed, now, self._retention_s, job_id],
        )
        return Counted(counted)


def _chunk_count(job: Job) -> int:
    return -(-job.total // job.chunk_rows)


def _rfc3339(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _job_key(job_id: str) -> str:
    return f"ml:job:{job_id}"


def _input_key(job_id: str, chunk: int) -> str:
    return f"ml:job:{job_id}:input:{chunk}"


def _result_key(job_id: str, chunk: int) -> str:
    return f"ml:job:{job_id}:result:{chunk}"


def _done_key(job_id: str) -> str:
    return f"ml:job:{job_id}:done"


def _index_key(tenant: str | None) -> str:
    return f"{tenant_prefix(tenant)}jobs"
