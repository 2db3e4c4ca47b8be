"""Erase the rows of a charger from the results of jobs, and whole jobs of a tenant."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any, Final, cast

import orjson
from redis import Redis

from tasks.jobs.job_keys import OPEN_KEY, JobKeys, index_key, pack
from tasks.jobs.job_record import Job
from tasks.jobs.job_store import JobStore
from tasks.storage import redis_clock

CLOCKS_DIFFER_S: Final = 300.0
ERASED: Final = {"code": "erased", "detail": "The charger of this row was erased."}

# Replace a chunk of results unless it has expired meanwhile: the new key would never expire.
_REPLACE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
"""


class JobErasure:
    """Erases from the jobs of one Redis server. Methods raise `redis.RedisError`."""

    def __init__(self, redis: Redis, jobs: JobStore) -> None:
        self._redis = redis
        self._jobs = jobs
        self._replace = redis.register_script(_REPLACE)

    def jobs_before(self, tenant: str | None, created_at: float) -> Iterator[Job]:
        """The tenant's jobs that may have been accepted before `created_at`, erasures apart.

        A job has the time of the host that accepted it. Jobs that are somewhat newer by it are included.
        """
        for job in self._jobs.newest_first(tenant):
            if job.kind != "erase" and job.created_at <= created_at + CLOCKS_DIFFER_S:
                yield job

    def erase_rows(self, job: Job, charger_id: str, *, until: float) -> tuple[int, bool]:
        """Replace the rows of a charger in the results of an ended job, until a `time.monotonic()`.

        A row keeps its number and becomes an error with the code `erased`. The counts of the job stay.
        Returns the number of rows, and whether the job is complete. If not, the same call goes on.
        """
        keys, erased = JobKeys(job.job_id), 0
        for rows, text in self._jobs.texts(job):
            lines = text.split(b"\n") if charger_id.encode() in text else []
            found = {number for number, line in enumerate(lines) if _names(line, charger_id)}
            if not found:
                continue
            # Before the rows, which could not be found again after an interruption.
            self._erase_errors(keys, {rows.start + number for number in found})
            for number in found:
                row = {"row": rows.start + number, "charger_id": None, "error": ERASED}
                lines[number] = orjson.dumps(row)
            chunk = str(rows.start // job.chunk_rows)
            self._replace(keys=[keys.results], args=[chunk, pack(b"\n".join(lines))])
            erased += len(found)
            if time.monotonic() >= until:
                return erased, False
        return erased, True

    def _erase_errors(self, keys: JobKeys, rows: Collection[int]) -> None:
        for raw in cast(list[bytes], self._redis.lrange(keys.errors, 0, -1)):
            if orjson.loads(raw)["row"] in rows:
                self._redis.lrem(keys.errors, 0, cast(str, raw))  # the stubs lack bytes

    def delete(self, job: Job) -> None:
        """Cancel a job if it runs, and delete it with all its data."""
        keys = JobKeys(job.job_id)
        self._jobs.cancel(job, redis_clock.now())
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.unlink(*keys.all)
            pipeline.srem(OPEN_KEY, job.job_id)
            pipeline.zrem(index_key(job.tenant), job.job_id)
            pipeline.execute()


def _names(line: bytes, charger_id: str) -> bool:
    """Whether a row is of the charger, or its error shows the id.

    A message about a wrong value shows the value in quotes. It may be an id in the wrong column.
    """
    if charger_id.encode() not in line:
        return False
    row: dict[str, Any] = orjson.loads(line)
    return row.get("charger_id") == charger_id or f"'{charger_id}'" in _texts(row.get("error"))


def _texts(error: dict[str, Any] | None) -> str:
    if error is None:
        return ""
    return " ".join([error["detail"], *(each["detail"] for each in error.get("errors", ()))])
