"""What Flower is told, told together.

Celery publishes three messages for each task (received, started, succeeded), each with a Redis client of its
own: half of what a worker's parent process did. Here they wait for each other, a moment at most while there
is work, and until the next heartbeat (2 s) at the end of it. `tasks/messaging/task_publisher.py` does the
same with its own.
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

# Seldom enough to share what a message costs, often enough that neither a worker nor Flower is busy with the
# events of half a second while a caller waits (docs/adr/0004).
TOGETHER_FOR_S: Final = 0.1
MOST_GATHERED: Final = 1000
TIMEOUT_S: Final = 0.5


class PatientDispatcher(EventDispatcher):
    """Celery's dispatcher, which publishes the events of tasks together, as one message (`task.multi`).

    Not by kombu, which takes milliseconds to encode them. What Redis does not take at once is lost.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gathered: deque[dict[str, Any]] = deque(maxlen=MOST_GATHERED)
        self._flushed_at = 0.0
        self._celery = cast(Any, self.app)  # incompletely typed there
        self._redis = connect(self._celery.conf.broker_url, timeout_s=TIMEOUT_S)
        self._connection = PinnedConnection(self._redis)

    def send(self, type: str, *args: Any, **kwargs: Any) -> None:
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
        if type.startswith("worker-") or time.monotonic() - self._flushed_at >= TOGETHER_FOR_S:
            self.flush()

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        super().flush(errors, groups)
        self._flushed_at = time.monotonic()
        events = [self._gathered.popleft() for _ in range(len(self._gathered))]
        if not events:
            return
        try:
            self._connection.execute(publish_command(self._redis, self.hostname, events))
        except (RedisError, TypeError) as error:  # a TypeError: a message not of ours had what no JSON says
            log.debug("events could not be published: %s", error)


class PatientEvents(Events):
    dispatcher_cls = "tasks.worker.events:PatientDispatcher"
