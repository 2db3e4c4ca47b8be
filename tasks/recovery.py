"""Sending chunks again whose tasks are gone: the queue is not the record of a job, Redis's job record is.

Tasks get lost when Redis loses its newest writes in a crash, or when it goes away just as a worker wants to
write a chunk's result. A job that nobody has touched for longer than any chunk may take, while nothing
waits on the queue, has lost its tasks. Sending one twice does no harm: a chunk counts once.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from redis import Redis

from celeryconfig import VISIBILITY_TIMEOUT_S
from tasks.jobs import JobStore
from tasks.names import SCHEMA_VERSION, Queues, TaskNames
from tasks.sender import Sender

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 10.0
UNTOUCHED_S: Final = VISIBILITY_TIMEOUT_S + 30.0
LOCK_KEY: Final = "ml:jobs:recovery"


class Recovery:
    """One look now and then by one worker process of all that share a Redis. For one thread."""

    def __init__(self, sender: Sender, redis: Redis, jobs: JobStore) -> None:
        self._sender = sender
        self._redis = redis
        self._jobs = jobs
        self._next = 0.0

    def look(self) -> int:
        """How many chunks were sent again. Raises `redis.RedisError` and `BrokerUnavailable`."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + LOOK_EVERY_S
        if not self._redis.set(LOCK_KEY, 1, nx=True, ex=int(LOOK_EVERY_S)) or self._redis.llen(Queues.BATCH):
            return 0
        now, sent = time.time(), 0
        for job_id, chunks in self._jobs.abandoned(untouched_since=now - UNTOUCHED_S):
            log.warning("job %s has lost its tasks; sending %d chunks again", job_id, len(chunks))
            self._jobs.touch(job_id, now)
            for chunk in chunks:
                message = {"v": SCHEMA_VERSION, "job_id": job_id, "chunk": chunk}
                self._sender.send(TaskNames.SCORE_CHUNK, message, queue=Queues.BATCH)
                sent += 1
        return sent
