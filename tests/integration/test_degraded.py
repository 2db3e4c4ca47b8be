"""Single predictions while no worker can answer them: scored in the web process, and said so."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from redis import Redis

from tasks.client.degraded import MAX_WAITING
from tasks.messaging.names import Queues
from tests.http_jobs import submit
from tests.processes import Process, Web, environment, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer, start_redis

PREDICTIONS = "/api/v1/predictions/"
FAILURE = PREDICTIONS + "failure"
KINDS = ("failure", "maintenance", "anomaly")
TOGETHER = 30
# Fields that say where and when a verdict was made.
OF_THE_ANSWER = {"timestamp", "degraded", "fingerprint", "cached"}


@pytest.fixture(scope="module")
def own_redis() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def worker(own_redis: RunningServer) -> Iterator[Process]:
    with start_worker(Queues.SINGLE, environment(own_redis.url)) as process:
        yield process


@pytest.fixture(scope="module")
def web(own_redis: RunningServer, worker: Process) -> Iterator[Web]:
    with Web(environment(own_redis.url, ML_DEGRADED_SCORING="true")) as web:
        wait_until(lambda: "models loaded for degraded scoring" in web.log(), what="the models", log=web.log)
        yield web


@pytest.fixture
def caller(web: Web) -> Iterator[httpx.Client]:
    """A client of a service in which all is well, before and after.

    Its connections do not expire: httpx may close one that another thread has just been given.
    """
    wait_for_workers(web)
    limits = httpx.Limits(keepalive_expiry=None)
    with httpx.Client(base_url=web.url, headers=web.client.headers, limits=limits, timeout=30) as client:
        yield client
    wait_for_workers(web)


def wait_for_workers(web: Web) -> None:
    def served() -> bool:
        answer = web.client.post(FAILURE, json=request())
        checks = web.client.get("/health/ready").json()["checks"]
        return answer.status_code == 200 and not answer.json()["degraded"] and "degraded" not in checks

    wait_until(served, what="the workers' answers", log=web.log)


def assert_all_are_answered(caller: httpx.Client) -> list[str]:
    """Ask for many chargers at once. Returns their ids."""
    asked = [request() for _ in range(TOGETHER)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        answers = list(pool.map(lambda body: caller.post(FAILURE, json=body), asked))
    assert [answer.status_code for answer in answers] == [200] * TOGETHER
    for body, answer in zip(asked, answers, strict=True):
        verdict = answer.json()
        assert (verdict["degraded"], verdict["fingerprint"], verdict["cached"]) == (True, None, False)
        assert verdict["charger_id"] == body["charger_id"]
    return [body["charger_id"] for body in asked]


@pytest.mark.parametrize("outage", ["frozen", "killed"])
@pytest.mark.owasp("API4", "single predictions are answered while Redis is away")
def test_all_are_answered_while_redis_is_away(
    caller: httpx.Client, web: Web, own_redis: RunningServer, outage: str
) -> None:
    (own_redis.pause if outage == "frozen" else own_redis.kill)()
    try:
        chargers = assert_all_are_answered(caller)
        wait_until(
            lambda: "degraded" in caller.get("/health/ready").json()["checks"], what="health to notice"
        )
        ready = caller.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert_all_are_answered(caller)
        for kind in KINDS:
            assert caller.post(PREDICTIONS + kind, json=request()).json()["degraded"]
        refused = caller.post(PREDICTIONS + "batch", json={"chargers": [metrics()]})
        assert refused.status_code == 503  # a job is never accepted without its store
        metrics_page = httpx.get(f"{web.url}/metrics").text
        assert 'ml_requests_degraded_total{reason="redis"}' in metrics_page
    finally:
        (own_redis.resume if outage == "frozen" else own_redis.restart)()
    wait_for_workers(web)
    for charger_id in chargers:  # nothing of them was stored
        assert caller.get(PREDICTIONS + charger_id).status_code == 404


def test_all_are_answered_while_the_worker_is_frozen(
    caller: httpx.Client, web: Web, own_redis: RunningServer, worker: Process
) -> None:
    worker.signal_all(signal.SIGSTOP)
    try:
        # The first task may have reached the frozen worker: that one ends at the deadline.
        caller.post(FAILURE, json=request())
        assert_all_are_answered(caller)
        wait_until(
            lambda: "degraded" in caller.get("/health/ready").json()["checks"], what="health to notice"
        )
        assert_all_are_answered(caller)
        with Redis.from_url(own_redis.url) as redis:
            wait_until(lambda: redis.llen(Queues.SINGLE) == 0, what="an empty queue")
        page = httpx.get(f"{web.url}/metrics").text
        assert 'ml_requests_degraded_total{reason="stalled"}' in page
        assert 'ml_requests_degraded_total{reason="workers"}' in page
    finally:
        worker.signal_all(signal.SIGCONT)


def test_a_degraded_verdict_is_that_of_a_charger_without_history(
    caller: httpx.Client, own_redis: RunningServer
) -> None:
    asked = {kind: request(timestamp="2026-11-20T08:30:00Z") for kind in KINDS}
    own_redis.pause()
    try:
        degraded = {kind: caller.post(PREDICTIONS + kind, json=body).json() for kind, body in asked.items()}
    finally:
        own_redis.resume()
    for kind, body in asked.items():

        def scored(kind: str = kind, body: dict[str, object] = body) -> dict[str, object]:
            verdict: dict[str, object] = caller.post(PREDICTIONS + kind, json=body).json()
            return verdict if verdict.get("degraded") is False else {}

        verdict = wait_until(scored, what="a worker's verdict")
        assert verdict.keys() == degraded[kind].keys()
        for name in verdict.keys() - OF_THE_ANSWER:
            assert degraded[kind][name] == verdict[name], name


def test_more_than_the_capacity_is_refused_and_not_queued(
    caller: httpx.Client, own_redis: RunningServer
) -> None:
    """One thread scores. Callers that come while all places are taken do not wait in vain."""
    assert MAX_WAITING <= 1_024
    own_redis.pause()
    try:
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: caller.post(FAILURE, json=request()), range(400)))
        assert {answer.status_code for answer in answers} <= {200, 503}
        assert [answer.status_code for answer in answers].count(200) >= 300
    finally:
        own_redis.resume()


def test_jobs_go_on_after_the_outage(caller: httpx.Client, own_redis: RunningServer) -> None:
    """Degraded scoring is for single predictions alone."""
    job = submit(caller, [metrics()])
    assert caller.get(f"/api/v1/jobs/{job['job_id']}").json()["status"] == "PENDING"
