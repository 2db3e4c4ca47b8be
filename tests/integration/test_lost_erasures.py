"""An erasure that was accepted is carried out, whatever dies or is away meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from redis import Redis

from tasks.jobs.erase_jobs import DUE_KEY
from tasks.jobs.job_keys import OPEN_KEY, JobKeys
from tasks.messaging.names import Queues
from tests.http_jobs import all_results, finish, submit
from tests.processes import Process, Web, environment, start_worker, wait_until
from tests.readings import metrics, new_charger_id
from tests.services import RunningServer, start_redis

SYNC_TIMEOUT: Final = "1"


@dataclass
class Alone:
    """A web process and its Redis, and a Redis of the cache. Workers of batches are started by the test."""

    web: Web
    main: RunningServer
    cache: RunningServer
    redis: Redis

    @property
    def environment(self) -> dict[str, str]:
        extra = {"REDIS_CACHE_URL": self.cache.url, "ML_SYNC_TIMEOUT": SYNC_TIMEOUT}
        return environment(self.main.url, **extra)

    def worker(self) -> Process:
        worker = start_worker(Queues.BATCH, self.environment)
        wait_until(lambda: "ready" in worker.log(), what="the worker", log=worker.log)
        return worker

    def erase(self, charger: str) -> str:
        answer = self.web.client.delete(f"/api/v1/chargers/{charger}")
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.web.client.get(f"/api/v1/jobs/{job_id}").json()
        return found


@pytest.fixture
def alone() -> Iterator[Alone]:
    with start_redis() as main, start_redis() as cache, Redis.from_url(main.url) as redis:
        extra = {"REDIS_CACHE_URL": cache.url, "ML_SYNC_TIMEOUT": SYNC_TIMEOUT}
        with Web(environment(main.url, **extra)) as web:
            yield Alone(web, main, cache, redis)


def test_it_outlives_the_worker_that_runs_it(alone: Alone) -> None:
    charger = new_charger_id()
    alone.redis.set(f"ml:tenant:t:prediction:failure:{charger}", "not of this tenant")
    with alone.worker() as first:
        job_id = alone.erase(charger)
        wait_until(lambda: alone.job(job_id)["status"] == "RUNNING", what="the first step")
        first.kill()
    assert alone.redis.zscore(DUE_KEY, job_id) is not None
    with alone.worker():
        assert finish(alone.web.client, job_id)["status"] == "SUCCEEDED"
    assert alone.redis.zcard(DUE_KEY) == 0
    assert not alone.redis.exists(JobKeys(job_id).steps, JobKeys(job_id).input)
    assert alone.redis.exists(f"ml:tenant:t:prediction:failure:{charger}")
    assert 0 < alone.redis.ttl(JobKeys(job_id).record) <= 86_400


def test_it_outlives_a_killed_child_at_once(alone: Alone) -> None:
    with alone.worker() as worker:
        job_id = alone.erase(new_charger_id())
        wait_until(lambda: alone.job(job_id)["status"] == "RUNNING", what="the first step")
        for pid in worker.children():
            os.kill(pid, signal.SIGKILL)
        assert finish(alone.web.client, job_id)["status"] == "SUCCEEDED"


def test_a_lost_task_is_sent_again(alone: Alone) -> None:
    """As a crash of Redis loses it, or a worker of an older release drops it: it does not know the task."""
    job_id = alone.erase(new_charger_id())
    assert alone.redis.delete(Queues.BATCH) == 1
    # Workers of an older release look after these jobs, and would score the rows of an erasure.
    assert not alone.redis.sismember(OPEN_KEY, job_id)
    assert 0 < alone.redis.ttl(JobKeys(job_id).record) > 7 * 86_400
    with alone.worker():
        assert finish(alone.web.client, job_id)["status"] == "SUCCEEDED"


def test_it_waits_for_the_redis_of_the_cache(alone: Alone) -> None:
    charger = new_charger_id()
    with Redis.from_url(alone.cache.url) as cache:
        cache.set(f"ml:prediction:failure:{charger}", "a verdict")
    with alone.worker() as worker:
        alone.cache.stop()
        job_id = alone.erase(charger)
        wait_until(lambda: alone.job(job_id)["waiting_for"], what="the reason", log=worker.log)
        assert "Redis" in alone.job(job_id)["waiting_for"]
        assert alone.job(job_id)["status"] == "RUNNING"
        alone.cache.restart()
        with Redis.from_url(alone.cache.url) as cache:
            assert cache.exists(f"ml:prediction:failure:{charger}")
            assert finish(alone.web.client, job_id)["status"] == "SUCCEEDED"
            assert not cache.exists(f"ml:prediction:failure:{charger}")
    (receipt,) = all_results(alone.web.client, job_id)
    assert receipt["erased"]["cache"] == 1


def test_a_tenant_is_erased_on_both_servers(alone: Alone) -> None:
    with Redis.from_url(alone.cache.url) as cache:
        for redis in (alone.redis, cache):
            # More than one step of a SCAN, beside keys of others that must stay.
            redis.mset({f"ml:tenant:gone:prediction:failure:C-{n}": "x" for n in range(3_000)})
            redis.mset({f"ml:tenant:gone2:prediction:failure:C-{n}": "x" for n in range(3_000)})
        with alone.worker():
            answer = alone.web.client.delete("/api/v1/tenants/gone")
            job_id = answer.json()["job_id"]
            assert finish(alone.web.client, job_id)["status"] == "SUCCEEDED"
        (receipt,) = all_results(alone.web.client, job_id)
        assert receipt["erased"]["cache"] == 6_000
        for redis in (alone.redis, cache):
            assert len(list(redis.scan_iter("ml:tenant:gone:*", count=1000))) == 0
            assert len(list(redis.scan_iter("ml:tenant:gone2:*", count=1000))) == 3_000


def test_one_that_fails_again_and_again_is_given_up(alone: Alone) -> None:
    """Results that cannot be unpacked, as a foreign client may have written them."""
    charger = new_charger_id()
    job = submit(alone.web.client, [metrics(charger)])
    with alone.worker():
        assert finish(alone.web.client, job["job_id"])["status"] == "SUCCEEDED"
        alone.redis.hset(JobKeys(job["job_id"]).results, "0", "damaged")
        job_id = alone.erase(charger)

        def over() -> bool:
            if int(alone.redis.hget(JobKeys(job_id).attempts, "0") or 0) > 0:
                alone.redis.delete(JobKeys(job_id).held)  # its lease, which a failed attempt keeps
                alone.redis.zadd(DUE_KEY, {job_id: 0}, xx=True)
            return str(alone.job(job_id)["status"]) == "FAILED"

        wait_until(over, what="the end", poll_s=0.3)
    (result,) = all_results(alone.web.client, job_id)
    assert result["error"]["code"] == "internal"
    assert "4 attempts" in result["error"]["detail"]
    assert alone.redis.zcard(DUE_KEY) == 0


def test_without_a_queue_nothing_is_accepted(alone: Alone) -> None:
    alone.main.pause()
    started = time.monotonic()
    answer = alone.web.client.delete("/api/v1/chargers/EVZ-1")
    alone.main.resume()
    assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable")
    assert "Retry-After" in answer.headers
    assert time.monotonic() - started < 10
