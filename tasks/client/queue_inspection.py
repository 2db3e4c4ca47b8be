"""Inspect a queue: find tasks that no worker has taken, check for workers, remove tasks.

Celery discards an expired task only when a worker reaches it. Without a worker, tasks of callers that have
given up would fill the queue without limit.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Iterable
from datetime import datetime
from typing import Final, cast

import orjson
from redis import ConnectionError, RedisError

import metrics
from settings import Settings
from tasks.monitoring.heartbeats import living
from tasks.storage import redis_clock
from tasks.storage.redis_connection import connect

log = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 1.0
SWEEP_MOST: Final = 1000


class QueueInspector:
    """One queue, as seen by a sender of tasks. Use in one thread.

    A command blocks 1 s at most, and 0.5 s more for a new connection. Methods raise nothing.
    """

    def __init__(self, settings: Settings, queue: str) -> None:
        self._redis = connect(settings.redis_url)
        weakref.finalize(self, self._redis.connection_pool.disconnect)
        self._queue = queue
        self._sweep_at = 0.0

    def waiting(self, task_ids: Iterable[str]) -> dict[str, bytes] | None:
        """Messages of the given tasks that no worker has taken, by task id. None if Redis is unreachable."""
        try:
            messages = self._messages()
        except RedisError as error:
            log.debug("the queue cannot be searched: %s", error)
            return None
        guards = {task_id: task_id.encode() for task_id in task_ids}
        found = {
            task_id: next((message for message in messages if guard in message), None)
            for task_id, guard in guards.items()
        }
        return {task_id: message for task_id, message in found.items() if message is not None}

    def _messages(self) -> list[bytes]:
        try:
            return cast(list[bytes], self._redis.lrange(self._queue, 0, -1))
        except ConnectionError:  # one that Redis closed when it was restarted
            return cast(list[bytes], self._redis.lrange(self._queue, 0, -1))

    def withdraw(self, message: bytes) -> bool:
        """Remove a message from the queue. False if it was not there, e.g. because a worker took it first."""
        try:
            return bool(self._redis.lrem(self._queue, 1, cast(str, message)))  # the stubs lack bytes
        except RedisError as error:
            log.debug("a task could not be withdrawn: %s", error)
            return False

    def is_served(self) -> bool:
        """Whether a worker that holds models reads this queue."""
        try:
            return any(self._queue in worker.queues and worker.able for worker in living(self._redis))
        except RedisError as error:
            log.debug("workers cannot be looked up: %s", error)
            return False

    def sweep_expired(self) -> None:
        """Remove expired tasks, at most once a second. If Redis is unreachable, do nothing."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + SWEEP_EVERY_S
        try:
            # Kombu pushes at the left and pops at the right: the oldest are at the end.
            oldest = cast(list[bytes], self._redis.lrange(self._queue, -SWEEP_MOST, -1))
            removed = 0
            for message in filter(_is_expired, oldest):
                removed += self._redis.lrem(self._queue, -1, cast(str, message))
        except RedisError as error:
            log.debug("expired tasks could not be swept: %s", error)
            return
        metrics.EXPIRED_TASKS.inc(removed)


def _is_expired(message: bytes) -> bool:
    try:
        expires = orjson.loads(message)["headers"]["expires"]
        return expires is not None and datetime.fromisoformat(expires).timestamp() < redis_clock.now()
    except (ValueError, KeyError, TypeError):
        return False  # not a Celery message: leave it
