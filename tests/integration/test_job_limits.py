"""Limits of open jobs, rows and bytes: nothing of a refused job is stored, and parallel uploads pass none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from secrets import token_hex
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.api_keys import created, wait_for
from tests.batches import BATCH
from tests.http_jobs import assert_problem, finish
from tests.processes import KEY, Web, environment, running_service, wait_until
from tests.readings import metrics
from tests.services import RunningServer, start_redis

MOST_JOBS = 3
MOST_ROWS = 100
MOST_BYTES = 20_000
LIMITS = {
    "ML_TENANT_JOBS": str(MOST_JOBS),
    "ML_TENANT_ROWS": str(MOST_ROWS),
    "ML_TENANT_JOB_BYTES": str(MOST_BYTES),
}
_numbers = count()


@pytest.fixture(scope="module")
def redis() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def web(redis: RunningServer) -> Iterator[Web]:
    """Without a worker: jobs stay open until they are cancelled."""
    with Web(environment(redis.url, **LIMITS, ML_BATCH_CHUNK_ROWS="20")) as web:
        yield web


@pytest.fixture
def tenant() -> str:
    return f"tenant-{next(_numbers)}"


def post(
    web: Web, tenant: str, rows: int = 1, *, key: str = KEY, random_codes: int = 0, idempotency_key: str = ""
) -> httpx.Response:
    codes = [token_hex(64) for _ in range(random_codes)]  # packed into about half their length
    chargers = [metrics(f"EVZ-{number}", error_codes=codes) for number in range(rows)]
    return httpx.post(
        f"{web.url}{BATCH}",
        json={"chargers": chargers},
        headers={"X-API-Key": key, "X-Tenant-ID": tenant}
        | ({"Idempotency-Key": idempotency_key} if idempotency_key else {}),
        timeout=30,
    )


def cancel(web: Web, tenant: str, job: dict[str, Any]) -> None:
    answer = web.client.delete(f"/api/v1/jobs/{job['job_id']}", headers={"X-Tenant-ID": tenant})
    assert answer.status_code == 200, answer.text


def accepted(web: Web, tenant: str, rows: int = 1, **options: Any) -> dict[str, Any]:
    answer = post(web, tenant, rows, **options)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


@pytest.mark.owasp("API6", "a tenant cannot fill the queue of jobs")
def test_a_job_too_many_is_refused_until_one_has_ended(web: Web, tenant: str) -> None:
    first = post(web, tenant)
    assert first.headers["RateLimit-Policy"] == (
        f'"tenant-jobs";q={MOST_JOBS}, "tenant-job-bytes";q={MOST_BYTES};qu="content-bytes", '
        f'"tenant-rows";q={MOST_ROWS}'
    )
    assert first.headers["RateLimit"].startswith(f'"tenant-jobs";r={MOST_JOBS - 1}, ')
    assert first.headers["RateLimit"].endswith(f'"tenant-rows";r={MOST_ROWS - 1}')
    for _ in range(MOST_JOBS - 1):
        accepted(web, tenant)
    refused = post(web, tenant)
    body = assert_problem(refused, 429, "rate_limited")
    assert body["detail"] == f"The limit tenant-jobs is reached: {MOST_JOBS} open jobs."
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.headers["RateLimit"].startswith('"tenant-jobs";r=0, ')
    assert accepted(web, f"{tenant}-other")
    cancel(web, tenant, first.json())
    assert accepted(web, tenant)  # at once
    assert post(web, tenant).status_code == 429


@pytest.mark.owasp("API4", "parallel uploads pass no limit of jobs")
def test_parallel_uploads_do_not_pass_the_limit(web: Web, tenant: str) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: post(web, tenant).status_code, range(24)))
    assert Counter(answers) == {202: MOST_JOBS, 429: 24 - MOST_JOBS}


def test_nothing_of_a_refused_body_is_read_or_stored(web: Web, redis: RunningServer, tenant: str) -> None:
    for _ in range(MOST_JOBS):
        accepted(web, tenant)
    with Redis.from_url(redis.url) as client:
        before = set(client.scan_iter("ml:job:*"))
        # Not JSON at all: the body is not looked at.
        answer = web.client.post(
            BATCH, content=b"{bad", headers={"X-Tenant-ID": tenant, "Content-Type": "application/json"}
        )
        assert_problem(answer, 429, "rate_limited")
        assert set(client.scan_iter("ml:job:*")) == before


def test_rows_of_open_jobs_are_limited(web: Web, redis: RunningServer, tenant: str) -> None:
    job = accepted(web, tenant, 70)
    with Redis.from_url(redis.url) as client:
        before = set(client.scan_iter("ml:job:*"))
        body = assert_problem(post(web, tenant, 31), 429, "rate_limited")
        assert body["detail"] == f"The limit tenant-rows is reached: {MOST_ROWS} rows of open jobs."
        assert set(client.scan_iter("ml:job:*")) == before  # its first chunks are gone
    accepted(web, tenant, 30)
    assert post(web, tenant).status_code == 429
    cancel(web, tenant, job)
    accepted(web, tenant, 70)


@pytest.mark.owasp("API4", "a tenant's jobs take no more memory of Redis than its limit")
def test_bytes_of_jobs_are_limited(web: Web, tenant: str) -> None:
    accepted(web, tenant, random_codes=125)
    job = accepted(web, tenant, random_codes=125)
    body = assert_problem(post(web, tenant, random_codes=125), 429, "rate_limited")
    assert body["detail"] == f"The limit tenant-job-bytes is reached: {MOST_BYTES} bytes of jobs."
    assert_problem(post(web, tenant, random_codes=500), 413, "too_large")
    accepted(web, tenant)
    cancel(web, tenant, job)
    accepted(web, tenant, random_codes=125)


def test_a_batch_that_never_fits_is_too_large(web: Web, tenant: str) -> None:
    body = assert_problem(post(web, tenant, MOST_ROWS + 1), 413, "too_large")
    assert body["detail"] == f"The batch alone is over the limit tenant-rows: {MOST_ROWS} rows of open jobs."
    assert accepted(web, tenant, MOST_ROWS)


def test_a_batch_that_is_wrong_gives_its_room_back(web: Web, tenant: str) -> None:
    for _ in range(2 * MOST_JOBS):
        assert post(web, tenant, 0).status_code == 422
        answer = web.client.post(
            BATCH, content=b"{bad", headers={"X-Tenant-ID": tenant, "Content-Type": "application/json"}
        )
        assert answer.status_code == 400
    for _ in range(MOST_JOBS):
        accepted(web, tenant)


def test_a_repeated_request_is_answered_at_the_limit(web: Web, tenant: str) -> None:
    jobs = [accepted(web, tenant, idempotency_key=f"{tenant}-{n}") for n in range(MOST_JOBS)]
    again = post(web, tenant, idempotency_key=f"{tenant}-0")
    assert (again.status_code, again.json()["job_id"]) == (202, jobs[0]["job_id"])
    assert post(web, tenant, idempotency_key=f"{tenant}-new").status_code == 429
    cancel(web, tenant, jobs[0])
    accepted(web, tenant, idempotency_key=f"{tenant}-new")


def test_a_key_has_limits_of_its_own(web: Web, redis: RunningServer, tenant: str) -> None:
    one = created(redis, "--role", "predict", "--limit", "jobs=1")
    two = created(redis, "--role", "predict", "--limit", "rows=5")
    wait_for(web, one, 200)
    wait_for(web, two, 200)
    accepted(web, tenant, key=one)
    refused = post(web, f"{tenant}-b", key=one)
    assert assert_problem(refused, 429, "rate_limited")["detail"].startswith("The limit key-jobs is reached")
    accepted(web, tenant, key=two)
    assert_problem(post(web, tenant, 6, key=two), 413, "too_large")


def test_results_count_until_they_expire(lone_redis: RunningServer) -> None:
    env = environment(lone_redis.url, ML_TENANT_JOB_BYTES="4000", ML_JOB_RETENTION="8")
    with running_service(env) as web:
        jobs = []
        while (answer := post(web, "acme", 4)).status_code == 202:
            job = finish_of(web, answer.json()["job_id"])
            assert job["status"] == "SUCCEEDED"
            jobs.append(job)
            assert len(jobs) < 20
        assert_problem(answer, 429, "rate_limited")
        assert answer.headers["Retry-After"] == "60"
        wait_until(lambda: post(web, "acme", 4).status_code == 202, what="room", timeout_s=30)


def finish_of(web: Web, job_id: str) -> dict[str, Any]:
    with httpx.Client(base_url=web.url, headers={"X-API-Key": KEY, "X-Tenant-ID": "acme"}) as client:
        return finish(client, job_id)
