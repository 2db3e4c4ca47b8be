"""Resume stalled batch jobs. The job record in Redis is authoritative, not the queue.

Chunks are lost when a worker dies while scoring one, or when Redis loses its newest writes in a crash. Jobs
also stall when no process is left to send their next chunks. Sending a chunk twice is harmless, as it is
counted once.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from redis import Redis, ResponseError

from tasks.jobs.chunks import Chunks

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 2.0
LOCK_KEY: Final = "ml:jobs:recovery"


class Recovery:
    """Check all open jobs periodically, in one of the worker processes of a Redis. Use in one thread."""

    def __init__(self, redis: Redis, chunks: Chunks) -> None:
        self._redis = redis
        self._chunks = chunks
        self._next = 0.0

    def look(self) -> int:
        """Send lost and missing chunks of all open jobs if a check is due. Returns the number of chunks sent.

        Raises `redis.RedisError` and `BrokerUnavailable`.
        """
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + LOOK_EVERY_S
        if not self._redis.set(LOCK_KEY, 1, nx=True, px=int(LOOK_EVERY_S * 900)):
            return 0
        sent, open_jobs = 0, self._chunks.open_jobs()
        for job_id in open_jobs:
            try:
                sent += self._send_lost(job_id)
            except ResponseError:  # a damaged record must not stop the other jobs
                log.exception("job %s cannot be looked after", job_id)
        return sent + self._chunks.feed(*open_jobs)

    def _send_lost(self, job_id: str) -> int:
        lost = self._chunks.send_lost(job_id)
        if lost:
            log.warning("job %s: %d chunks were lost and are sent again", job_id, lost)
        return lost
