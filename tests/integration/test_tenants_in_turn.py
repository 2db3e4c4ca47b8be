"""Tenants share the service through HTTP: a flood or a large job of one does not keep another one waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
from redis import Redis

from tasks.worker import recovery
from tests.batches import NDJSON, ended, job_of, job_state, ndjson_of, post_file
from tests.integration.client.worker_by_hand import WorkerByHand
from tests.processes import KEY, Web, environment, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer

FAILURE = "/api/v1/predictions/failure"
CAPACITY = 40
FLOOD = 60
BESIDE = 10
OF_A, OF_B = {"X-Tenant-ID": "a"}, {"X-Tenant-ID": "b"}


@pytest.fixture
def worker(redis: RunningServer) -> Iterator[WorkerByHand]:
    worker = WorkerByHand(redis.url.replace("/0", "/11"))  # no real worker reads it
    worker.redis.flushdb()
    yield worker
    worker.redis.flushdb()
    worker.redis.close()


@pytest.fixture
def lonely_web(worker: WorkerByHand, redis: RunningServer) -> Iterator[Web]:
    env = environment(redis.url.replace("/0", "/11"), ML_MAX_WAITING=str(CAPACITY), ML_SYNC_TIMEOUT="30")
    with Web(env) as web:
        yield web


def waiting(web: Web) -> float:
    page = web.client.get("/metrics").text
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("ml_gate_waiting"))


@pytest.mark.owasp("API4", "a tenant's flood neither keeps another one out nor ahead of it in the queue")
def test_a_tenant_beside_a_flood_is_admitted_and_answered_before_it(
    lonely_web: Web, worker: WorkerByHand
) -> None:
    with ThreadPoolExecutor(FLOOD + BESIDE) as pool:

        def ask(number: int, tenant: dict[str, str]) -> Future[httpx.Response]:
            body = request(f"{tenant['X-Tenant-ID']}-{number}")
            headers = {"X-API-Key": KEY, **tenant}
            return pool.submit(httpx.post, lonely_web.url + FAILURE, json=body, headers=headers, timeout=40)

        of_a = [ask(number, OF_A) for number in range(FLOOD)]
        refused = wait_until(
            lambda: [each for each in of_a if each.done()][: FLOOD - CAPACITY],
            what="the first to be refused",
        )
        assert all(each.result().status_code == 503 for each in refused)
        of_b = [ask(number, OF_B) for number in range(BESIDE)]
        wait_until(lambda: waiting(lonely_web) == CAPACITY + BESIDE, what="both tenants to wait")
        served: list[str] = []
        while len(served) < CAPACITY + BESIDE:
            message = worker.take(timeout_s=10)
            assert message is not None
            served += [each.reading.charger_id for each in message.score_requests]
            worker.answer(message)
        a_statuses = Counter(each.result().status_code for each in of_a)
        b_statuses = Counter(each.result().status_code for each in of_b)
    assert a_statuses == {200: CAPACITY, 503: FLOOD - CAPACITY}
    assert b_statuses == {200: BESIDE}
    last_of_b = max(place for place, charger in enumerate(served) if charger.startswith("b-"))
    assert served[last_of_b + 1 :], "A still waits"
    # Two tasks of A were under way, of one and of few readings. Afterwards the tenants took turns.
    assert last_of_b < CAPACITY


def test_jobs_of_a_tenant_follow_each_other_without_recovery(
    client: httpx.Client, redis: RunningServer
) -> None:
    """Each end of a job sends the next one's chunks: recovery, which would find them too, is held up."""
    with Redis.from_url(redis.url) as store:
        store.set(recovery.LOCK_KEY, 1, ex=60)
        jobs = [job_of(post_file(client, ndjson_of([metrics()]), NDJSON, **OF_A)) for _ in range(12)]
        client.headers.update(OF_A)
        try:
            assert {ended(client, job_id)["status"] for job_id in jobs} == {"SUCCEEDED"}
            assert store.ttl(recovery.LOCK_KEY) > 0
        finally:
            del client.headers["X-Tenant-ID"]
            store.delete(recovery.LOCK_KEY)


@pytest.mark.owasp("API4", "a tenant's large jobs do not keep another one's job waiting")
def test_a_small_job_ends_before_large_ones_of_another_tenant(
    client: httpx.Client,
) -> None:
    rows = ndjson_of([metrics() for _ in range(4_000)])
    large = [job_of(post_file(client, rows, NDJSON, "?kind=all", **OF_A)) for _ in range(8)]
    small = job_of(post_file(client, ndjson_of([metrics() for _ in range(200)]), NDJSON, **OF_B))
    with httpx.Client(base_url=client.base_url, headers={**client.headers, **OF_B}) as b:
        assert ended(b, small)["status"] == "SUCCEEDED"
    with httpx.Client(base_url=client.base_url, headers={**client.headers, **OF_A}) as a:
        states = [job_state(a, job_id)["status"] for job_id in large]
        assert states.count("SUCCEEDED") < len(large)
        for job_id in large:
            a.delete(f"/api/v1/jobs/{job_id}")
