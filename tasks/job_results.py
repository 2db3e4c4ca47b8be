"""How far a job's results reach without a gap."""

from __future__ import annotations

from typing import Final

from redis import Redis

from tasks.job_keys import JobKeys
from tasks.jobs import Job

CHUNKS_LOOKED_UP: Final = 500


def scored_until(redis: Redis, job: Job, start: int) -> int:
    """The first row from `start` on that has no result yet; `job.total` if all have."""
    if job.done == job.total:
        return job.total
    results = JobKeys(job.job_id).results
    chunks = -(-job.total // job.chunk_rows)
    for first in range(start // job.chunk_rows, chunks, CHUNKS_LOOKED_UP):
        pipeline = redis.pipeline(transaction=False)
        looked_up = range(first, min(first + CHUNKS_LOOKED_UP, chunks))
        for chunk in looked_up:
            pipeline.hexists(results, str(chunk))
        for chunk, there in zip(looked_up, pipeline.execute(), strict=True):
            if not there:
                return max(start, chunk * job.chunk_rows)
    return job.total
