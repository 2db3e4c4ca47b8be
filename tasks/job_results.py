"""Reading a job's results as they come: how far they reach without a gap, and their lines chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from redis import Redis

from tasks.jobs import Job, JobStore

CHUNKS_LOOKED_UP: Final = 500


def scored_until(redis: Redis, job: Job, start: int) -> int:
    """The first row from `start` on that has no result yet; `job.total` if all have."""
    if job.done == job.total:
        return job.total
    chunks = -(-job.total // job.chunk_rows)
    for first in range(start // job.chunk_rows, chunks, CHUNKS_LOOKED_UP):
        pipeline = redis.pipeline(transaction=False)
        looked_up = range(first, min(first + CHUNKS_LOOKED_UP, chunks))
        for chunk in looked_up:
            pipeline.exists(f"ml:job:{job.job_id}:result:{chunk}")
        for chunk, there in zip(looked_up, pipeline.execute(), strict=True):
            if not there:
                return max(start, chunk * job.chunk_rows)
    return job.total


def lines(jobs: JobStore, job: Job, start: int) -> Iterator[list[bytes]]:
    """For each chunk in order, beginning with that of row `start`, the JSON lines from that row on.

    Ends at the first chunk that has no result.
    """
    while start < job.total:
        found = jobs.results(job, start=start, limit=job.chunk_rows - start % job.chunk_rows)
        if not found:
            return
        yield found
        start += len(found)
