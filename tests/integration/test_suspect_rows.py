"""Rows of a job that end the process that scores them: each fails alone, with one process of one worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.messaging.names import Queues
from tests.batches import ended, results_of
from tests.http_jobs import submit
from tests.processes import Process, Web, environment, start_worker
from tests.readings import metrics
from tests.services import RunningServer

ROWS = 300
FAULTS = {7: "kills", 8: "crashes", 120: "hangs", 250: "kills", 299: "raises"}
# As `faulthandler` says it, for `LIMIT_S`.
TIMED_OUT = "Timeout (0:00:05)!"


@pytest.fixture
def env(lone_redis: RunningServer) -> dict[str, str]:
    return environment(lone_redis.url)


@pytest.fixture
def worker(env: dict[str, str]) -> Iterator[Process]:
    with start_worker(Queues.BATCH, env, app="tests.integration.fragile_app") as worker:
        yield worker


@pytest.fixture
def web(env: dict[str, str]) -> Iterator[Web]:
    with Web(env) as web:
        yield web


@pytest.mark.timeout(300)
@pytest.mark.owasp("API4", "a row of a job that ends the process that scores it fails alone")
def test_rows_that_end_their_process_fail_and_no_others(web: Web, worker: Process) -> None:
    rows = [
        metrics(metadata={"costs": {"fault": FAULTS[number]}}) if number in FAULTS else metrics()
        for number in range(ROWS)
    ]
    job_id = submit(web.client, rows)["job_id"]
    ended(web.client, job_id, timeout_s=240)
    results = results_of(web.client, job_id)
    assert [row["row"] for row in results] == list(range(ROWS))
    assert {row["row"] for row in results if "error" in row} == set(FAULTS)
    told = {row["row"]: row["error"]["detail"] for row in results if "error" in row}
    assert all("also when it scored this row alone" in told[number] for number in (7, 8, 120, 250))
    assert all(row["charger_id"] == sent["charger_id"] for row, sent in zip(results, rows, strict=True))
    # Among few rows, then alone, and alone again. The limit of a whole chunk would end it as well, but later.
    assert worker.log().count(TIMED_OUT) == 3, worker.log()
