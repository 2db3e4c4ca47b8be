"""A verification does not hold up callers who wait, where another worker can do it."""

from __future__ import annotations

import pytest

from tasks.messaging.names import Queues
from tasks.monitoring.heartbeats import WorkerState
from tasks.monitoring.versions import queue_to_verify


@pytest.mark.parametrize(
    ("served", "queue"),
    [
        ([[Queues.SINGLE], [Queues.STREAM], [Queues.BATCH]], Queues.BATCH),
        ([[Queues.SINGLE], [Queues.STREAM]], Queues.STREAM),
        ([[Queues.SINGLE]], Queues.SINGLE),
        ([[Queues.BATCH, Queues.SINGLE, Queues.STREAM]], Queues.BATCH),
        ([], Queues.SINGLE),
    ],
)
def test_the_least_urgent_queue_that_is_served(served: list[list[str]], queue: str) -> None:
    living = [WorkerState(f"{n}@here", n, queues, [], None, 0, 0.0) for n, queues in enumerate(served)]
    assert queue_to_verify(living) == queue
