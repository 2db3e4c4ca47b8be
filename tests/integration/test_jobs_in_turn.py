"""Jobs share the workers, stop when told to, and end though a chunk kills whoever scores it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from redis import Redis

from tasks.jobs.job_keys import JobKeys
from tasks.messaging.names import Queues
from tests.batches import NDJSON, ended, job_of, job_state, ndjson_of, post_file, results_of
from tests.processes import Process, Web, environment, start_worker, wait_until
from tests.readings import metrics
from tests.services import RunningServer

CHUNK_ROWS = 20


def large_job(client: httpx.Client) -> str:
    """Seconds of work in many chunks."""
    return job_of(post_file(client, ndjson_of([metrics() for _ in range(40_000)]), NDJSON, "?kind=all"))


@pytest.mark.owasp("API4", "a large job does not delay a small one")
def test_a_small_job_ends_before_the_large_one_that_came_first(client: httpx.Client) -> None:
    large = large_job(client)
    small = job_of(post_file(client, ndjson_of([metrics() for _ in range(200)]), NDJSON))
    assert ended(client, small)["status"] == "SUCCEEDED"
    while_the_large = job_state(client, large)
    assert while_the_large["status"] == "RUNNING"
    assert 0 < while_the_large["done"] < while_the_large["total"]
    client.delete(f"/api/v1/jobs/{large}")


def test_a_cancelled_job_begins_no_chunk_any_more(client: httpx.Client, redis: RunningServer) -> None:
    job_id = large_job(client)
    wait_until(lambda: job_state(client, job_id)["done"] > 0, what="a first chunk")
    cancelled = client.delete(f"/api/v1/jobs/{job_id}").json()
    # The worker has nothing of it in hand any more once it has done another's job.
    ended(client, job_of(post_file(client, ndjson_of([metrics()]), NDJSON)))
    assert (cancelled["status"], job_state(client, job_id)["done"]) == ("CANCELLED", cancelled["done"])
    assert len(results_of(client, job_id)) == cancelled["done"]
    with Redis.from_url(redis.url) as store:
        keys = JobKeys(job_id)
        started, kept = store.hlen(keys.attempts), store.hlen(keys.results)
        assert not store.exists(keys.input, keys.sent, keys.held)
    assert started <= kept + 1  # the one in hand when the word came


@pytest.fixture
def fragile(redis: RunningServer) -> Iterator[httpx.Client]:
    """A service whose worker dies of some readings."""
    url = redis.url.replace("/0", "/8")
    env = environment(url, ML_BATCH_CHUNK_ROWS=str(CHUNK_ROWS))
    worker: Process
    with start_worker(Queues.BATCH, env, app="tests.integration.fragile_app") as worker, Web(env) as web:
        wait_until(lambda: "ready" in worker.log(), what="the fragile worker", log=worker.log)
        yield web.client


@pytest.mark.timeout(300)
def test_a_chunk_with_many_deadly_rows_is_given_up_and_the_others_are_scored(fragile: httpx.Client) -> None:
    rows = [metrics() for _ in range(5 * CHUNK_ROWS)]
    deadly = range(2 * CHUNK_ROWS, 3 * CHUNK_ROWS)
    for number in deadly:
        rows[number]["metadata"] = {"costs": {"fault": "kills"}}
    job_id = job_of(post_file(fragile, ndjson_of(rows), NDJSON))
    state = ended(fragile, job_id, timeout_s=240)
    assert (state["status"], state["done"], state["failed"]) == ("SUCCEEDED", len(rows), CHUNK_ROWS)
    for number, row in enumerate(results_of(fragile, job_id)):
        assert (row["row"], row["charger_id"]) == (number, rows[number]["charger_id"])
        if number in deadly:
            assert row["error"]["code"] == "scoring_failed"
            assert "attempts" in row["error"]["detail"] or "scored this row alone" in row["error"]["detail"]
        else:
            assert "failure_probability" in row
    assert state["errors"][0]["row"] == deadly[0]
