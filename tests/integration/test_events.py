"""What is said of tasks, Celery's own receiver understands, and Flower with it."""

from __future__ import annotations

import time
from typing import Any

import httpx
from celery import Celery

from tasks.names import Queues, TaskNames
from tests.readings import new_charger_id, request
from tests.services import RunningServer

PATIENCE_S = 10.0


def test_a_task_is_seen_from_its_sending_to_its_end(client: httpx.Client, redis: RunningServer) -> None:
    app = Celery("observer", broker=redis.url, set_as_current=False)
    state: Any = app.events.State()  # incompletely typed there
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": state.event})
        events = receiver.itercapture(limit=None, timeout=PATIENCE_S, wakeup=False)
        next(events)  # it has subscribed
        before = time.time()
        assert client.post("/api/v1/predictions/failure", json=request(new_charger_id())).status_code == 200
        seen = next(task for _ in events if (task := seen_whole(state, before)))
    app.close()
    assert (seen.name, seen.routing_key, seen.state) == (TaskNames.SCORE, Queues.SINGLE, "SUCCESS")
    assert seen.sent <= seen.received <= seen.started <= seen.succeeded
    assert seen.worker.hostname.startswith("single@")


def seen_whole(state: Any, since: float) -> Any:
    """A task of which everything has been told, or None."""
    for task in state.tasks.values():
        if task.sent and task.sent >= since and task.received and task.started and task.succeeded:
            return task
    return None
