"""The service on Debian's own Redis, which is older than the embedded Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from stack.servers import redis_answers, redis_command
from tasks.messaging.names import Queues
from tests.batches import ended, results_of
from tests.host.programs import require
from tests.http_jobs import submit
from tests.processes import Web, environment, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer
from tests.verdicts import unlike

pytestmark = pytest.mark.host

ROWS = 200
# Of an answer to a single prediction: not part of the verdict, or of that very moment.
ADDED = {"row", "tenant_id", "timestamp", "cached", "degraded", "fingerprint"}


@pytest.fixture(scope="module")
def redis() -> Iterator[RunningServer]:
    program = require("redis-server", "redis-server")

    def command(port: int, folder: Path) -> list[str]:
        return [program, *redis_command(port, folder)[1:]]

    with RunningServer(command, redis_answers, "redis://127.0.0.1:{port}/0") as server:
        yield server


@pytest.fixture(scope="module")
def web(redis: RunningServer) -> Iterator[Web]:
    env = environment(redis.url)
    with (
        start_worker(Queues.SINGLE, env) as single,
        start_worker(Queues.BATCH, env) as batch,
        Web(env) as web,
    ):
        wait_until(web.ready, what="readiness", log=lambda: single.log() + web.log())
        wait_until(lambda: "ready" in batch.log(), what="the batch worker", log=batch.log)
        yield web


def test_the_server_is_debians(redis: RunningServer) -> None:
    with Redis.from_url(redis.url) as client:
        info = client.info("server")
    assert "valkey_version" not in info
    assert Path(info["executable"]).name.startswith("redis-")


def test_a_single_prediction_and_the_same_reading_in_a_batch_agree(web: Web) -> None:
    rows = [metrics(temperature=20 + number / 4) for number in range(ROWS)]
    job = submit(web.client, rows)
    state = ended(web.client, job["job_id"])
    assert (state["status"], state["done"], state["failed"]) == ("SUCCEEDED", ROWS, 0)
    results = results_of(web.client, job["job_id"])
    assert [result["row"] for result in results] == list(range(ROWS))
    for number in (0, ROWS - 1):
        alone = web.client.post("/api/v1/predictions/failure", json=request(**rows[number]))
        assert alone.status_code == 200, alone.text
        expected = {name: value for name, value in alone.json().items() if name not in ADDED}
        found = {name: value for name, value in results[number].items() if name not in ADDED}
        assert unlike(expected, found) is None


def test_what_is_cached_is_answered_from_there(web: Web) -> None:
    body = request()
    first, second = (web.client.post("/api/v1/predictions/anomaly", json=body).json() for _ in range(2))
    assert (first["cached"], second["cached"]) == (False, True)
