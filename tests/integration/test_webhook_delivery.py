"""Events reach a receiver: signed, at least once, under one id, whatever is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

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


def test_a_webhook_gets_events_of_its_types_and_tenant_alone(
    service: tuple[Web, Process], sink: Sink
) -> None:
    web, worker = service
    of_acme = {"X-Tenant-ID": "acme"}
    with webhook_sink() as acme, webhook_sink() as models:
        added(web, sink.url, "job.ended")
        added(web, acme.url, "job.ended", **of_acme)
        added(web, models.url, "model.activated")
        jobs = [
            job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON, **headers))
            for headers in ({}, of_acme, {"X-Tenant-ID": "other"})
        ]
        wait_until(lambda: len(sink.received) == 3, what="all three events", log=worker.log)
        wait_until(lambda: acme.received, what="the tenant's event", log=worker.log)
        assert {each.document["subject"] for each in sink.received} == {*jobs}
        assert [each.document["subject"] for each in acme.received] == [jobs[1]]
        assert acme.received[0].document["tenantid"] == "acme"
        assert models.received == []


def test_a_cancelled_job_has_ended(service: tuple[Web, Process], sink: Sink) -> None:
    web, worker = service
    added(web, sink.url, "job.ended")
    job_id = job_of(post_file(web.client, ndjson_of([metrics() for _ in range(40_000)]), NDJSON))
    assert web.client.delete(f"/api/v1/jobs/{job_id}").json()["status"] == "CANCELLED"
    wait_until(lambda: sink.received, what="the event", log=worker.log)
    assert sink.received[0].document["data"]["status"] == "CANCELLED"


def test_an_event_is_sent_again_under_its_id_after_a_refusal(
    service: tuple[Web, Process], sink: Sink
) -> None:
    web, worker = service
    made = added(web, sink.url, "job.ended")
    sink.status = 500
    job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON))
    wait_until(lambda: sink.received, what="the first attempt", log=worker.log)
    failures = wait_until(lambda: failures_of(web, made["id"]), what="the failure", log=worker.log)
    assert (failures[0]["state"], failures[0]["attempts"]) == ("waiting", 1)
    assert failures[0]["error"] == "answered 500"
    sink.status = 200
    wait_until(lambda: len(sink.received) == 2, what="the second attempt", log=worker.log)
    assert len({*sink.ids}) == 1
    for each in sink.received:
        each.verified(made["secret"])
    wait_until(lambda: state_of(web, made["id"])["totals"]["delivered"] == 1, what="the count")
    assert failures_of(web, made["id"]) == []


def test_a_target_that_is_gone_disables_its_webhook_until_a_replay(
    service: tuple[Web, Process], sink: Sink
) -> None:
    web, worker = service
    made = added(web, sink.url, "job.ended")
    sink.status = 410
    job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON))
    wait_until(lambda: state_of(web, made["id"])["state"] == "disabled", what="the state", log=worker.log)
    state = state_of(web, made["id"])
    assert (state["reason"], state["outbox"], state["parked"]) == ("answered 410", 0, 1)
    sink.status = 200
    answer = web.client.post(f"/api/v1/webhooks/{made['id']}/replay")
    assert (answer.status_code, answer.json()) == (202, {"replayed": 1})
    wait_until(lambda: len(sink.received) == 2, what="the replay", log=worker.log)
    assert len({*sink.ids}) == 1
    wait_until(lambda: state_of(web, made["id"])["totals"]["delivered"] == 1, what="the count")
    assert state_of(web, made["id"])["state"] == "active"


def test_a_mute_target_holds_up_neither_others_nor_jobs(service: tuple[Web, Process], sink: Sink) -> None:
    web, worker = service
    answer = threading.Event()
    with webhook_sink() as mute:
        mute.before_answer = lambda received: answer.wait(60)
        added(web, mute.url, "job.ended")
        added(web, sink.url, "job.ended")
        for number in range(3):
            job_id = job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON))
            assert ended(web.client, job_id)["status"] == "SUCCEEDED"
            wait_until(lambda: len(sink.received) > number, what="the event", log=worker.log)  # noqa: B023
        # One request under way, and its time-out has not passed for the mute target.
        assert len(mute.received) <= 2
        answer.set()


def test_redirects_are_not_followed(service: tuple[Web, Process], sink: Sink) -> None:
    web, worker = service
    with webhook_sink() as elsewhere:
        sink.status, sink.headers = 307, {"Location": elsewhere.url}
        made = added(web, sink.url, "job.ended")
        job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON))
        failures = wait_until(lambda: failures_of(web, made["id"]), what="the failure", log=worker.log)
        assert failures[0]["error"] == "answered 307"
        assert elsewhere.received == []


def test_an_event_of_a_killed_worker_is_sent_again_under_its_id(
    lone_redis: RunningServer, sink: Sink
) -> None:
    env = environment(lone_redis.url, WEBHOOK_ALLOW_PRIVATE="true")
    with start_worker(Queues.BATCH, env) as first, Web(env) as web:
        wait_until(lambda: "ready" in first.log(), what="the worker", log=first.log)
        secret = added(web, sink.url, "job.ended")["secret"]
        sink.before_answer = lambda received: first.kill()  # in the middle of the delivery
        job_id = job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON))
        wait_until(lambda: sink.received and first.has_ended(), what="the kill", log=first.log)
        sink.before_answer = lambda received: None
        with start_worker(Queues.BATCH, env) as second:
            wait_until(lambda: len(sink.received) > 1, what="the event", timeout_s=90, log=second.log)
    assert len({*sink.ids}) == 1
    assert {each.verified(secret)["subject"] for each in sink.received} == {job_id}


def test_the_end_of_a_job_outlives_the_worker_that_recorded_it(lone_redis: RunningServer, sink: Sink) -> None:
    """The job ends while no worker can announce it: it is cancelled, and the worker starts afterwards."""
    env = environment(lone_redis.url, WEBHOOK_ALLOW_PRIVATE="true")
    with Web(env) as web:
        secret = added(web, sink.url, "job.ended")["secret"]
        job_ids = {job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON)) for _ in range(150)}
        for job_id in job_ids:
            web.client.delete(f"/api/v1/jobs/{job_id}")
        web.kill()
        with start_worker(Queues.BATCH, env) as worker:
            wait_until(lambda: len({*sink.ids}) == len(job_ids), what="all", timeout_s=60, log=worker.log)
    assert {each.verified(secret)["subject"] for each in sink.received} == job_ids


def failures_of(web: Web, webhook_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = web.client.get(f"/api/v1/webhooks/{webhook_id}/failures").json()["items"]
    return found


def state_of(web: Web, webhook_id: str) -> dict[str, Any]:
    found: dict[str, Any] = web.client.get(f"/api/v1/webhooks/{webhook_id}").json()
    return found
