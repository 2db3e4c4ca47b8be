"""What is said of tasks, Celery's own receiver understands, and Flower with it."""

from __future__ import annotations

import time
from typing import Any, cast

import httpx
import orjson
from celery import Celery
from redis import Redis

from tasks.messaging.names import SCHEMA_VERSION, Queues, TaskNames
from tasks.messaging.task_publisher import TaskPublisher
from tests.processes import environment, settings_for, start_worker, wait_until
from tests.readings import new_charger_id, request
from tests.services import RunningServer

PATIENCE_S = 10.0
HEARTBEAT_S = 2.5  # and what was gathered has been told


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


def test_a_message_whose_event_no_json_says_harms_no_worker(redis: RunningServer) -> None:
    url = redis.url.replace("/0", "/8")
    with Redis.from_url(url) as broker, start_worker(Queues.BATCH, environment(url)) as worker:
        wait_until(lambda: "ready" in worker.log(), what="the worker", log=worker.log)
        for shown in ("2" * 40, '"\\ud800"'):  # an integer of 133 bits, half of a surrogate pair
            unknown = {"v": SCHEMA_VERSION, "job_id": "unknown", "chunk": 0}
            TaskPublisher(settings_for(url)).send(TaskNames.SCORE_CHUNK, unknown, queue="aside")
            strange = cast(bytes, broker.rpop("aside"))
            shown_as = orjson.dumps(orjson.loads(strange)["headers"]["argsrepr"])
            time.sleep(HEARTBEAT_S)  # then its events are due at once
            broker.lpush(Queues.BATCH, strange.replace(shown_as, shown.encode()))
            wait_until(lambda: broker.llen(Queues.BATCH) == 0, what="the message to be read", log=worker.log)
        time.sleep(HEARTBEAT_S)
        assert worker.process.poll() is None
        assert "TypeError" not in worker.log()


def seen_whole(state: Any, since: float) -> Any:
    """A task of which everything has been told, or None."""
    for task in state.tasks.values():
        if task.sent and task.sent >= since and task.received and task.started and task.succeeded:
            return task
    return None
