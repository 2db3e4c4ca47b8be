"""What Flower is told, told together.

Celery publishes three messages for each task (received, started, succeeded), each with a Redis client of its
own: half of what a worker's parent process did. Here they wait for each other, a moment at most while there
is work, and until the next heartbeat (2 s) at the end of it. `tasks/sender.py` does the same with its own.
"""

from __future__ import annotations

import time
from typing import Any, Final

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher

TOGETHER_FOR_S: Final = 0.5


class PatientDispatcher(EventDispatcher):
    """Celery's dispatcher, which publishes gathered task events as one message (`task.multi`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Not at the next turn of the event loop, and not after the first 24.
        super().__init__(*args, **kwargs | {"on_send_buffered": None, "buffer_limit": 1000})
        self._published_at = 0.0

    def send(self, type: str, *args: Any, **kwargs: Any) -> None:
        super().send(type, *args, **kwargs)
        now = time.monotonic()
        if type.startswith("worker-") or now - self._published_at >= TOGETHER_FOR_S:
            self._published_at = now
            self.flush()


class PatientEvents(Events):
    dispatcher_cls = "tasks.events:PatientDispatcher"
