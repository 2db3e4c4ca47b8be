"""What has become of tasks on a queue: taking off those that nobody waits for, finding those not yet begun.

Celery discards an expired task only when a worker gets to it. With no worker, callers that come, wait and
go would fill the queue for ever.
"""

from __future__ import annotations

import logging
import time
import weakref
from datetime import UTC, datetime
from typing import Final, cast

import orjson
from redis import RedisError

import metrics
from settings import Settings
from tasks.monitoring.heartbeats import living
from tasks.storage.redis_connection import connect

log = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 1.0
SWEEP_MOST: Final = 1000


class ExpiredSweeper:
    """Removes expired tasks from one queue, at most once a second. For one thread."""

    def __init__(self, settings: Settings, queue: str) -> None:
        self._redis = connect(settings.redis_url)
        weakref.finalize(self, self._redis.connection_pool.disconnect)
        self._queue = queue
        self._next = 0.0

    def sweep(self) -> int:
        """How many tasks were removed. Raises nothing: it is tried again at the next time-out."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + SWEEP_EVERY_S
        try:
            # Kombu pushes at the left and pops at the right: the oldest are at the end.
            waiting = cast(list[bytes], self._redis.lrange(self._queue, -SWEEP_MOST, -1))
            expired = [message for message in waiting if _expired(message)]
            removed = 0
            for message in expired:
                removed += self._redis.lrem(self._queue, -1, cast(str, message))  # the stubs know no bytes
        except RedisError as error:
            log.debug("expired tasks could not be swept: %s", error)
            return 0
        metrics.EXPIRED_TASKS.inc(removed)
        return removed


class QueueWatch:
    """What the sender of a task can find out about it. For one thread; no method raises."""

    def __init__(self, settings: Settings, queue: str) -> None:
        self._redis = connect(settings.redis_url)
        weakref.finalize(self, self._redis.connection_pool.disconnect)
        self._queue = queue

    def queued(self, task_ids: set[str]) -> set[str] | None:
        """Which of these tasks no worker has taken yet; None where that cannot be told."""
        try:
            waiting = cast(list[bytes], self._redis.lrange(self._queue, 0, -1))
        except RedisError as error:
            log.debug("the queue cannot be searched: %s", error)
            return None
        marks = {task_id: task_id.encode() for task_id in task_ids}
        return {task_id for task_id, mark in marks.items() if any(mark in message for message in waiting)}

    def is_served(self) -> bool:
        """Whether a worker that holds models reads this queue."""
        try:
            return any(self._queue in worker.queues and worker.able for worker in living(self._redis))
        except RedisError as error:
            log.debug("workers cannot be looked up: %s", error)
            return False


def _expired(message: bytes) -> bool:
    try:
        expires = orjson.loads(message)["headers"]["expires"]
        return expires is not None and datetime.fromisoformat(expires) < datetime.now(UTC)
    except (ValueError, KeyError, TypeError):
        return False  # not ours to judge
