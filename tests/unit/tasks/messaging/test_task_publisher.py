"""A publisher that several threads share."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tasks.messaging.task_publisher import TaskPublisher
from tests.processes import settings_for


class Contended(deque[dict[str, Any]]):
    """Pending events of which two threads take the first at the same moment."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        super().__init__(events)
        self._both = threading.Barrier(2)
        self._own = threading.local()

    def popleft(self) -> dict[str, Any]:
        if not getattr(self._own, "has_come", False):
            self._own.has_come = True
            self._both.wait(timeout=10)
        return super().popleft()


def test_two_threads_that_publish_the_last_event_see_no_error() -> None:
    """The tasks of both are on their queues already."""
    publisher = TaskPublisher(settings_for("redis://127.0.0.1:1/0"))
    publisher._pending_events = Contended([{"type": "task-sent"}])
    with ThreadPoolExecutor(2) as threads:
        for published in [threads.submit(publisher.flush_events) for _ in range(2)]:
            published.result()
    assert not publisher._pending_events
