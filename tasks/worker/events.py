"""Batch task events before publishing them.

Celery publishes three messages per task (received, started, succeeded), each with a new Redis client. That
was half of the work of a worker's parent process. Here events are batched for 0.1 s while there are tasks,
and until the next heartbeat (2 s) after the last one. `tasks/messaging/task_publisher.py` batches its own.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from typing import Any, Final, cast

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from celery.events.event import Event
from celery.utils.time import utcoffset
from redis import RedisError

from tasks.messaging.task_publisher import publish_command
from tasks.storage.redis_connection import PinnedConnection, connect

log = logging.getLogger(__name__)

# Long enough to share the fixed cost of a message. Short enough that handling a batch of events delays no
# caller, neither in a worker nor in Flower (docs/adr/0004).
TOGETHER_FOR_S: Final = 0.1
MOST_GATHERED: Final = 1000
# Publishing blocks the parent process, which also takes tasks. It gets at most this share of the time.
SHARE_OF_TIME: Final = 0.1
TIMEOUT_S: Final = 0.5


class PatientDispatcher(EventDispatcher):
    """Celery's event dispatcher, with task events batched in one message (`task.multi`).

    It bypasses kombu, which takes milliseconds to encode them. Events that Redis does not accept are dropped.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gathered: deque[dict[str, Any]] = deque(maxlen=MOST_GATHERED)
        self._flush_at = 0.0
        self._celery = cast(Any, self.app)  # incompletely typed there
        self._redis = connect(self._celery.conf.broker_url, timeout_s=TIMEOUT_S)
        self._connection = PinnedConnection(self._redis)

    def send(self, type: str, *args: Any, **kwargs: Any) -> None:
        """Queue a task event, or publish another event at once. Publish queued events if they are due."""
        if not type.startswith("task-"):
            super().send(type, *args, **kwargs)
        elif self.enabled:
            self._gathered.append(
                Event(
                    type,
                    hostname=self.hostname,
                    utcoffset=utcoffset(),
                    pid=os.getpid(),
                    clock=self._celery.clock.forward(),
                    **kwargs,
                )
            )
        if type.startswith("worker-") or time.monotonic() >= self._flush_at:
            self.flush()

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Publish pending events. Errors of Redis and of encoding are logged, and the events dropped."""
        super().flush(errors, groups)
        began = time.monotonic()
        self._flush_at = began + TOGETHER_FOR_S
        events = [self._gathered.popleft() for _ in range(len(self._gathered))]
        if not events:
            return
        try:
            self._connection.execute(publish_command(self._redis, self.hostname, events))
        except (RedisError, TypeError) as error:  # TypeError: a foreign message had a value without JSON form
            log.debug("events could not be published: %s", error)
        took_s = time.monotonic() - began
        self._flush_at = began + max(TOGETHER_FOR_S, took_s / SHARE_OF_TIME)


class PatientEvents(Events):
    """Celery's events with `PatientDispatcher`; the class that the app is created with."""

    dispatcher_cls = "tasks.worker.events:PatientDispatcher"
