"""Messages in the task queues that are no tasks of ours: refused, counted, dropped. The worker goes on.

Before, one element that was no JSON, or a header of another type, ended the worker's main process.
"""

from __future__ import annotations

import json
import pickle
import re
import uuid
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from redis import Redis

from tests.processes import Process, environment, free_port, start_worker, wait_until
from tests.services import RunningServer, start_redis

JSON: Final = "application/json"
TASK: Final = {"ml.single": "ml.score", "ml.batch": "ml.score_chunk"}
LEFT_OUT: Final = "left out"
ONE_DOCUMENT: Final = b"[[{}], {}, {}]"


class Worker:
    """A worker of one queue, with its Redis and its metrics."""

    def __init__(self, queue: str, server: RunningServer, redis: Redis) -> None:
        self.queue = queue
        self.redis = redis
        port = free_port()
        self.metrics = f"http://127.0.0.1:{port}/metrics"
        folder = str(server.folder / "metrics")
        env = environment(server.url, ADMIN_PORT=str(port), PROMETHEUS_MULTIPROC_DIR=folder)
        self.process: Process = start_worker(queue, env)
        wait_until(self.serves, what="the worker", timeout_s=60, log=self.process.log)

    def serves(self) -> bool:
        try:
            return httpx.get(self.metrics).status_code == 200
        except httpx.TransportError:
            return False

    def refused(self) -> dict[str, int]:
        text = httpx.get(self.metrics).text
        counts = re.findall(r'^ml_refused_tasks_total\{reason="(\w+)"\} ([\d.]+)$', text, re.MULTILINE)
        return {reason: int(float(count)) for reason, count in counts}

    def does_a_task(self) -> None:
        key = f"ml:verify:{uuid.uuid4().hex}"
        message = {"v": 1, "reply_key": key, "model": "failure", "version": "nope"}
        body = json.dumps([[message], {}, {}]).encode()
        self.redis.lpush(self.queue, made(self.queue, body, task="ml.verify"))
        wait_until(lambda: bool(self.redis.exists(key)), what="the next task", log=self.process.log)


@pytest.fixture(scope="module", params=sorted(TASK))
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with start_redis() as server, Redis.from_url(server.url) as redis:
        worker = Worker(request.param, server, redis)
        with worker.process:
            yield worker


def made(
    queue: str,
    body: bytes = ONE_DOCUMENT,
    *,
    content_type: str | None = JSON,
    encoding: str = "utf-8",
    properties: dict[str, Any] | None = None,
    **headers: Any,
) -> str:
    """The element of a queue's list for one task, with something changed."""
    task_id = str(uuid.uuid4())
    all_headers = {"lang": "py", "task": TASK[queue], "id": task_id, "retries": 0, "timelimit": [None, None]}
    all_properties = {
        "delivery_info": {"exchange": "", "routing_key": queue},
        "body_encoding": "base64",
        "delivery_tag": task_id,
    }
    envelope = {
        "body": b64encode(body).decode(),
        "content-encoding": encoding,
        "content-type": content_type,
        "headers": _without({**all_headers, **headers}),
        "properties": _without({**all_properties, **(properties or {})}),
    }
    return json.dumps(envelope)


def _without(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value != LEFT_OUT}


def changed(queue: str, **parts: Any) -> str:
    return json.dumps({**json.loads(made(queue)), **parts})


CASES: Final[dict[str, tuple[str, Any]]] = {
    "text": ("malformed", lambda _queue: "not json"),
    "nothing": ("malformed", lambda _queue: ""),
    "bytes": ("malformed", lambda _queue: b"\xff\xfe\x00"),
    "deep": ("malformed", lambda _queue: "[" * 100_000),
    "number": ("malformed", lambda _queue: "7"),
    "null": ("malformed", lambda _queue: "null"),
    "list": ("malformed", lambda _queue: "[]"),
    "empty": ("malformed", lambda _queue: "{}"),
    "no properties": ("malformed", lambda queue: changed(queue, properties=None)),
    "headers are a text": ("malformed", lambda queue: changed(queue, headers="x")),
    "body is a number": ("malformed", lambda queue: changed(queue, body=7)),
    "no tag": ("malformed", lambda queue: made(queue, properties={"delivery_tag": LEFT_OUT})),
    "tag is a list": ("malformed", lambda queue: made(queue, properties={"delivery_tag": []})),
    "no delivery info": ("malformed", lambda queue: made(queue, properties={"delivery_info": None})),
    "body encoding": ("malformed", lambda queue: made(queue, properties={"body_encoding": "rot13"})),
    "no content type": ("malformed", lambda queue: made(queue, content_type=None)),
    "pickle": (
        "content_type",
        lambda queue: made(
            queue,
            pickle.dumps(([{}], {}, {})),
            content_type="application/x-python-serialize",
            encoding="binary",
        ),
    ),
    "yaml": ("content_type", lambda queue: made(queue, b"- [{}]\n- {}\n", content_type="application/x-yaml")),
    "data": ("content_type", lambda queue: made(queue, content_type="application/data", encoding="binary")),
    "body is no JSON": ("malformed", lambda queue: made(queue, b"{{{")),
    "body is no text": ("malformed", lambda queue: made(queue, b"\xff\xfe")),
    "compressed": ("malformed", lambda queue: made(queue, compression="zlib")),
    "unknown task": ("unknown_task", lambda queue: made(queue, task="evil")),
    "task is a list": ("unknown_task", lambda queue: made(queue, task=[])),
    "no task": ("unknown_task", lambda queue: made(queue, task=LEFT_OUT)),
    "task of Celery": (
        "unknown_task",
        lambda queue: made(queue, b'[["g",null],{},{}]', task="celery.chord_unlock"),
    ),
    "old protocol": ("unknown_task", lambda queue: changed(queue, headers={})),
    "no id": ("malformed", lambda queue: made(queue, id=LEFT_OUT)),
    "id is a list": ("malformed", lambda queue: made(queue, id=[])),
    "limits are a text": ("malformed", lambda queue: made(queue, timelimit="x")),
    "limits of text": ("malformed", lambda queue: made(queue, timelimit=["a", "b"])),
    "expiry is a text": ("malformed", lambda queue: made(queue, expires="x")),
    "expiry is a list": ("malformed", lambda queue: made(queue, expires=[1])),
    "far future": ("malformed", lambda queue: made(queue, eta="2999-01-01T00:00:00+00:00")),
    "retries": ("malformed", lambda queue: made(queue, retries="x")),
    "stamps": ("malformed", lambda queue: made(queue, stamps=7, stamped_headers=7)),
    "body is an object": ("arguments", lambda queue: made(queue, b"{}")),
    "body is null": ("arguments", lambda queue: made(queue, b"null")),
    "body is short": ("arguments", lambda queue: made(queue, b"[1]")),
    "no argument": ("arguments", lambda queue: made(queue, b"[[],{},{}]")),
    "more arguments": ("arguments", lambda queue: made(queue, b"[[{},2],{},{}]")),
    "named arguments": ("arguments", lambda queue: made(queue, b'[[{}],{"x":1},{}]')),
    "argument is a text": ("arguments", lambda queue: made(queue, b'[["x"],{},{}]')),
    "tasks after it": ("arguments", lambda queue: made(queue, b'[[{}],{},{"callbacks":[{"task":"evil"}]}]')),
    "fields are missing": ("arguments", lambda queue: made(queue)),
    "fields of other types": (
        "arguments",
        lambda queue: made(
            queue,
            b'[[{"v":1,"batch_id":7,"reply_to":[],"asks":"x","sent_at":"x","job_id":[],"chunk":"x"}],{},{}]',
        ),
    ),
    "verification of nothing": ("arguments", lambda queue: made(queue, task="ml.verify")),
}


@pytest.mark.owasp("API10", "a message that is not JSON or no task of ours is refused, counted and not run")
@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_counted_and_dropped_and_the_worker_goes_on(worker: Worker, case: str) -> None:
    reason, make = CASES[case]
    before = worker.refused()
    children = worker.process.children()
    worker.redis.lpush(worker.queue, make(worker.queue))
    worker.does_a_task()
    expected = {**before, reason: before.get(reason, 0) + 1}
    wait_until(lambda: worker.refused() == expected, what=f"the count of {reason}", timeout_s=10)
    assert worker.process.children() == children
    assert (worker.redis.llen(worker.queue), worker.redis.exists("unacked")) == (0, 0)
