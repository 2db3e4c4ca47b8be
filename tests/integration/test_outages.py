"""Redis down or mute, no worker, a worker that dies: what the caller sees, and that all recovers by itself.

Times are asserted only against the contract's own limits (503 within 2 s, the deadline of 3 s).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tasks.messaging.names import Queues
from tests.processes import Process, Web, environment, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer, start_redis

FAILURE = "/api/v1/predictions/failure"


@pytest.fixture(scope="module")
def own_redis() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def worker(own_redis: RunningServer) -> Iterator[Process]:
    with start_worker(Queues.SINGLE, environment(own_redis.url)) as process:
        yield process


@pytest.fixture(scope="module")
def own_web(own_redis: RunningServer, worker: Process) -> Iterator[Web]:
    with Web(environment(own_redis.url)) as web:
        yield web


@pytest.fixture
def caller(own_web: Web, worker: Process) -> httpx.Client:
    """A client of a service in which all is well."""
    wait_until(own_web.ready, what="readiness", log=lambda: worker.log() + own_web.log())
    assert own_web.client.post(FAILURE, json=request()).status_code == 200
    return own_web.client


def assert_refused_in_time(client: httpx.Client, method: str, path: str, **body: object) -> None:
    started = time.monotonic()
    answer = client.request(method, path, **body)  # type: ignore[arg-type]
    assert time.monotonic() - started < 2.0
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "broker_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1


def assert_health_answers_at_once(client: httpx.Client) -> None:
    started = time.monotonic()
    assert client.get("/health").status_code == 200
    assert time.monotonic() - started < 0.5


def assert_everything_refuses(caller: httpx.Client) -> None:
    for _ in range(3):
        assert_refused_in_time(caller, "POST", FAILURE, json=request())
    assert_refused_in_time(caller, "POST", "/api/v1/predictions/batch", json={"chargers": [metrics()]})
    assert_refused_in_time(caller, "GET", "/api/v1/jobs")
    assert_refused_in_time(caller, "GET", "/api/v1/predictions/EVZ-1")
    assert_refused_in_time(caller, "DELETE", "/api/v1/predictions/EVZ-1")
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: assert_refused_in_time(caller, "POST", FAILURE, json=request()), range(20)))
    assert_health_answers_at_once(caller)
    wait_until(
        lambda: caller.get("/health").json()["checks"]["redis"]["status"] == "down", what="health to notice"
    )
    assert caller.get("/health").json()["status"] == "degraded"
    assert caller.get("/health/ready").status_code == 503


def assert_recovers(caller: httpx.Client, worker: Process) -> None:
    wait_until(
        lambda: caller.post(FAILURE, json=request()).status_code == 200, what="recovery", log=worker.log
    )


def test_redis_mute_is_answered_503_within_2_s_and_recovers(
    caller: httpx.Client, own_redis: RunningServer, worker: Process
) -> None:
    own_redis.pause()
    try:
        assert_everything_refuses(caller)
    finally:
        own_redis.resume()
    assert_recovers(caller, worker)


def test_redis_down_is_answered_503_within_2_s_and_recovers(
    caller: httpx.Client, own_redis: RunningServer, worker: Process
) -> None:
    own_redis.kill()
    try:
        assert_everything_refuses(caller)
    finally:
        own_redis.restart()
    assert_recovers(caller, worker)


def test_a_web_process_starts_and_says_so_while_redis_is_down() -> None:
    with Web(environment("redis://127.0.0.1:1/0")) as web:
        assert web.client.get("/health").json()["checks"]["redis"]["status"] == "down"
        assert web.client.get("/health/ready").status_code == 503
        assert_refused_in_time(web.client, "POST", FAILURE, json=request())


def test_no_worker_is_answered_504_at_the_deadline_and_leaves_no_queue_behind(
    caller: httpx.Client, own_redis: RunningServer, worker: Process
) -> None:
    worker.signal_all(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(lambda _: caller.post(FAILURE, json=request()), range(30)))
        assert time.monotonic() - started < 5.0
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (504, "prediction_timeout")
            assert answer.headers["Retry-After"]
            assert answer.headers["Location"].startswith("/api/v1/predictions/EVZ-")
        with Redis.from_url(own_redis.url) as store:
            wait_until(lambda: store.llen(Queues.SINGLE) == 0, what="the queue to be swept")
        wait_until(
            lambda: caller.get("/health/ready").status_code == 503, what="readiness to notice the worker"
        )
    finally:
        worker.signal_all(signal.SIGCONT)
    assert_recovers(caller, worker)


def test_a_worker_process_that_is_killed_is_replaced(caller: httpx.Client, worker: Process) -> None:
    def child() -> int:
        """The pid of the process that holds the models, by its own word."""
        held = caller.get("/api/v1/models").json()["models"]
        return int(held[0]["workers"][-1].rsplit(":", 1)[1]) if held else 0

    wait_until(lambda: alive(child()), what="a worker process that has not been replaced before")
    killed = child()
    assert killed != worker.process.pid
    os.kill(killed, signal.SIGKILL)
    assert_recovers(caller, worker)
    wait_until(lambda: child() not in (0, killed), what="a new process")


def alive(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()
