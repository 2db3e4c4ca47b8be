"""Workers whose parent process or child starts slowly, as on a busy host."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from redis import Redis

from tasks.client.queue_inspection import QueueInspector
from tasks.jobs.job_keys import JobKeys
from tasks.messaging.names import Queues
from tasks.monitoring import heartbeats
from tasks.monitoring.service_health import Monitor
from tests.http_jobs import submit
from tests.processes import Web, environment, settings_for, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer

APP = "tests.integration.slow_start_app"
FAILURE = "/api/v1/predictions/failure"
# More than Celery's default for the start of a child that replaces another, which is 4 s.
SLOW_S = 5


def state_of_worker(redis: Redis) -> heartbeats.WorkerState:
    (state,) = wait_until(lambda: heartbeats.living(redis), what="a heartbeat")
    return state


def is_ready(redis_url: str) -> bool:
    """Whether a web process that starts now would be ready."""
    monitor = Monitor(settings_for(redis_url))
    try:
        monitor.wait_first(10)
        return monitor.snapshot.ready
    finally:
        monitor.close()


def test_a_worker_serves_no_queue_while_its_parent_process_is_not_connected(
    lone_redis: RunningServer, tmp_path: Path
) -> None:
    redis = Redis.from_url(lone_redis.url)
    queue = QueueInspector(settings_for(lone_redis.url), Queues.SINGLE)
    connects = tmp_path / "connects"
    env = environment(lone_redis.url, CONNECTS_WHILE=str(connects))
    with start_worker(Queues.SINGLE, env, app=APP) as worker:
        state = state_of_worker(redis)
        assert (state.able, state.queues) == (True, [])
        assert not queue.is_served()
        assert not is_ready(lone_redis.url)
        for _ in range(2):  # the second time it has lost its connections
            connects.touch()
            wait_until(lambda: state_of_worker(redis).queues, what="the connection", log=worker.log)
            assert state_of_worker(redis).queues == [Queues.SINGLE]
            assert queue.is_served()
            assert is_ready(lone_redis.url)
            connects.unlink()
            redis.client_kill_filter(_type="normal", skipme=True)
            wait_until(lambda: not state_of_worker(redis).queues, what="the loss", log=worker.log)
        assert not queue.is_served()
    redis.close()


def test_a_worker_that_ends_serves_no_queue_while_a_task_runs(lone_redis: RunningServer) -> None:
    env = environment(lone_redis.url)
    with (
        Redis.from_url(lone_redis.url) as redis,
        start_worker(Queues.BATCH, env, app="tests.integration.fragile_app") as worker,
        Web(env) as web,
    ):
        job_id = submit(web.client, [metrics(metadata={"costs": {"fault": "hangs"}})])["job_id"]
        wait_until(lambda: redis.exists(JobKeys(job_id).held), what="the chunk to start", log=worker.log)
        assert state_of_worker(redis).queues == [Queues.BATCH]
        worker.process.terminate()
        wait_until(lambda: not state_of_worker(redis).queues, what="the end to begin", log=worker.log)
        worker.kill()


@pytest.mark.timeout(120)
def test_a_process_that_starts_slowly_replaces_one_that_died(lone_redis: RunningServer) -> None:
    env = environment(lone_redis.url, SLOW_TO_REPLACE_S=str(SLOW_S))
    with (
        Redis.from_url(lone_redis.url) as redis,
        start_worker(Queues.SINGLE, env, app=APP) as worker,
        Web(env) as web,
    ):
        wait_until(web.ready, what="readiness", log=worker.log)
        os.kill(state_of_worker(redis).pid, signal.SIGKILL)
        wait_until(
            lambda: web.client.post(FAILURE, json=request()).status_code == 200,
            what="an answer of the process that replaces it",
            log=worker.log,
        )
