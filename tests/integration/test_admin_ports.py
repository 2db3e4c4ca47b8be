"""Each program shows itself on its admin port; what has ended vanishes from the sum of the host."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tasks.messaging.names import Queues
from tests.processes import Process, Web, environment, free_port, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer, start_kafka, start_redis

LAG = 'ml_stream_lag_records{topic="charger.metrics"}'
CONSUMER_BEAT = 'ml_heartbeat_timestamp_seconds{program="consumer"}'


def value(url: str, name: str) -> float | None:
    """The value of a series at `url`/metrics, None if it is not there."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", httpx.get(f"{url}/metrics").text, re.MULTILINE)
    return None if found is None else float(found[1])


class Host:
    """Web, a worker of single predictions and a consumer, with a folder of metrics and admin ports."""

    def __init__(self, redis: RunningServer, kafka: RunningServer, folder: Path) -> None:
        self.admin: dict[str, str] = {}
        self._shared = {
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
            "STATE_DIR": str(folder),
            "KAFKA_BOOTSTRAP_SERVERS": kafka.url,
            "KAFKA_TRANSACTIONS": "off",
        }
        self._redis = redis
        self.web = Web(self._env("web"))
        self.worker = start_worker(Queues.SINGLE, self._env("worker"))
        self.consumer = self.start_consumer()

    def start_consumer(self) -> Process:
        self.consumer = Process([sys.executable, "-m", "consumers"], self._env("consumer"))
        return self.consumer

    def ready(self, program: str) -> bool:
        try:
            return httpx.get(f"{self.admin[program]}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        for process in (self.consumer, self.worker, self.web):
            process.stop()

    def _env(self, program: str) -> dict[str, str]:
        port = free_port()
        self.admin[program] = f"http://127.0.0.1:{port}"
        return environment(self._redis.url, **self._shared, ADMIN_PORT=str(port))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with start_redis() as redis, start_kafka() as kafka:
        host = Host(redis, kafka, tmp_path_factory.mktemp("host"))
        try:
            for program in ("web", "worker"):
                wait_until(partial(host.ready, program), what=program, log=host.worker.log)
            yield host
        finally:
            host.stop()


def test_each_program_shows_its_own_metrics(host: Host) -> None:
    assert host.web.client.post("/api/v1/predictions/failure", json=request()).status_code == 200
    series = 'ml_predictions_total{door="rest",kind="failure"}'
    assert value(host.admin["worker"], series) == 1
    assert value(host.admin["web"], series) is None
    assert value(host.web.url, series) == 1
    answers = 'ml_http_requests_total{endpoint="predictions.predict_failure",method="POST",status="200"}'
    assert (value(host.admin["web"], answers), value(host.admin["worker"], answers)) == (1, None)
    assert value(host.admin["worker"], 'ml_scores_count{kind="failure"}') == 1


def test_a_worker_names_the_versions_that_it_serves(host: Host) -> None:
    checks = httpx.get(f"{host.admin['worker']}/health").json()["checks"]
    assert re.search(r"\bfailure \S+", checks["models"]["detail"])
    assert checks["redis"] == {"status": "ok", "detail": "answers"}


def test_a_consumer_that_is_paused_is_not_ready_and_says_why(host: Host) -> None:
    wait_until(lambda: value(host.web.url, CONSUMER_BEAT) is not None, what="its heartbeat")
    answer = httpx.get(f"{host.admin['consumer']}/health/ready")
    wait_until(lambda: "ml.stream" in httpx.get(f"{host.admin['consumer']}/health").text, what="the reason")
    assert answer.status_code == 503


def test_the_values_of_a_killed_consumer_vanish_at_the_next_scrape(host: Host) -> None:
    wait_until(lambda: value(host.web.url, LAG) is not None, what="a lag", log=host.consumer.log)
    host.consumer.kill()
    assert value(host.web.url, LAG) is None
    assert value(host.web.url, CONSUMER_BEAT) is None
    assert value(host.web.url, 'ml_model_processes{model="failure",version="simulated-3"}') == 1
    host.start_consumer()


def test_a_worker_whose_redis_is_gone_is_alive_and_not_ready(host: Host) -> None:
    host._redis.pause()
    try:
        wait_until(lambda: not host.ready("worker"), what="the worker to notice")
        answer = httpx.get(f"{host.admin['worker']}/health")
        assert answer.status_code == 200
        assert "no heartbeat reached it" in answer.json()["checks"]["redis"]["detail"]
    finally:
        host._redis.resume()
    wait_until(lambda: host.ready("worker"), what="the worker to come back")


def test_the_age_of_the_oldest_task_grows_where_nobody_works(lonely: tuple[Web, RunningServer]) -> None:
    web, redis = lonely
    answer = web.client.post("/api/v1/predictions/batch", json={"chargers": [metrics() for _ in range(3)]})
    assert answer.status_code == 202
    series = f'ml_queue_oldest_task_seconds{{queue="{Queues.BATCH}"}}'
    wait_until(lambda: (value(web.url, series) or 0) > 1, what="an age of more than a second")
    assert value(web.url, f'ml_queue_tasks{{queue="{Queues.BATCH}"}}') == 1
    with Redis.from_url(redis.url) as client:
        client.delete(Queues.BATCH)
    wait_until(lambda: value(web.url, series) == 0, what="no age without a task")


def test_the_memory_of_redis_is_shown_by_kind(host: Host) -> None:
    host.web.client.post("/api/v1/predictions/failure", json=request())
    wait_until(
        lambda: (value(host.web.url, 'ml_redis_memory_bytes{kind="cache",server="main"}') or 0) > 500,
        what="the memory of the cache",
    )
    assert (value(host.web.url, 'ml_redis_used_bytes{server="main"}') or 0) > 500_000


def test_a_user_of_redis_without_the_right_to_measure_it_serves() -> None:
    with start_redis() as redis:
        with Redis.from_url(redis.url) as client:
            client.execute_command("ACL", "SETUSER", "few", "on", ">secret", "~*", "&*", "+@all", "-memory")
        url = redis.url.replace("redis://", "redis://few:secret@")
        with Web(environment(url)) as web:
            wait_until(lambda: "answers" in web.client.get("/health").text, what="Redis", log=web.log)
            assert value(web.url, 'ml_redis_used_bytes{server="main"}') is None
            assert value(web.url, 'ml_drift_readings{model="failure"}') == 0
