"""Events reach a receiver: signed, at least once, under one id, whatever is killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.messaging.names import Queues
from tests.batches import NDJSON, ended, job_of, ndjson_of, post_file
from tests.processes import Process, Web, environment, start_worker, wait_until
from tests.readings import metrics
from tests.services import RunningServer
from tests.webhook_sink import Sink, webhook_sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    with webhook_sink() as sink:
        yield sink


@pytest.fixture
def service(lone_redis: RunningServer) -> Iterator[tuple[Web, Process]]:
    env = environment(lone_redis.url, WEBHOOK_ALLOW_PRIVATE="true")
    with start_worker(Queues.BATCH, env) as worker, Web(env) as web:
        wait_until(lambda: "ready" in worker.log(), what="the worker", log=worker.log)
        yield web, worker


def added(web: Web, url: str, *types: str, **headers: str) -> dict[str, str]:
    """A new webhook, as it is answered once."""
    answer = web.client.post("/api/v1/webhooks", json={"url": url, "types": types}, headers=headers)
    assert answer.status_code == 201, answer.text
    document: dict[str, str] = answer.json()
    return document


def test_the_end_of_a_job_is_delivered_signed(service: tuple[Web, Process], sink: Sink) -> None:
    web, worker = service
    secret = added(web, sink.url, "job.ended")["secret"]
    job_id = job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON))
    job = ended(web.client, job_id)
    wait_until(lambda: sink.received, what="the event", log=worker.log)
    (received,) = sink.received
    document = received.verified(secret)
    assert received.headers["content-type"] == "application/cloudevents+json"
    assert (document["specversion"], document["type"], document["subject"]) == ("1.0", "job.ended", job_id)
    assert document["id"] == received.event_id
    names = ("job_id", "kind", "status", "total", "done", "failed", "finished_at")
    assert {name: document["data"][name] for name in names} == {name: job[name] for name in names}
