"""Limits of readings a second, over HTTP: the same through both doors, and shared by processes."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from errors import RateLimited
from tasks.client.rate_limiter import RateLimiter, tenant_rate
from tests.api_keys import created, wait_for
from tests.http_jobs import assert_problem
from tests.processes import KEY, Web, environment, running_service, settings_for, wait_until
from tests.readings import request
from tests.services import RunningServer, start_redis

FAILURE = "/api/v1/predictions/failure"
TENANT_RATE = 5
LIMITED = {"ML_TENANT_READINGS_PER_SECOND": str(TENANT_RATE)}


@pytest.fixture(scope="module")
def redis() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def doors(redis: RunningServer) -> Iterator[dict[str, Web]]:
    """The same service through an event loop and through threads, with a limit for each tenant."""
    with ExitStack() as stack:
        env = environment(redis.url, **LIMITED)
        asgi = stack.enter_context(running_service(env))
        yield {"asgi": asgi, "wsgi": stack.enter_context(Web(env, server="gunicorn"))}


@pytest.fixture(params=["asgi", "wsgi"])
def web(doors: dict[str, Web], request: pytest.FixtureRequest) -> Web:
    return doors[request.param]


def predict(web: Web, tenant: str, *, key: str = KEY, body: object = None) -> httpx.Response:
    headers = {"X-Tenant-ID": tenant, "X-API-Key": key}
    return httpx.post(
        f"{web.url}{FAILURE}", json=request("EVZ-1") if body is None else body, headers=headers, timeout=30
    )


def refused(web: Web, tenant: str, **options: str) -> httpx.Response:
    """A refusal of a caller that sends more and more at once."""
    with ThreadPoolExecutor(4 * TENANT_RATE) as pool:

        def limited() -> httpx.Response | None:
            asked = [pool.submit(predict, web, tenant, **options) for _ in range(4 * TENANT_RATE)]
            answers = [each.result() for each in asked]
            assert {answer.status_code for answer in answers} <= {200, 429, 504}  # 504: a busy machine
            return next((answer for answer in answers if answer.status_code == 429), None)

        answer = wait_until(limited, what="a refusal", timeout_s=60)
    assert answer is not None
    return answer


@pytest.mark.owasp("API4", "a caller over its readings a second gets 429 and Retry-After")
def test_a_tenant_over_its_limit_is_refused(web: Web) -> None:
    tenant = f"over-{web.server}"
    first = predict(web, tenant)
    assert first.status_code == 200, first.text
    assert first.headers["RateLimit-Policy"] == '"tenant-readings";q=5;w=1'
    assert first.headers["RateLimit"] == '"tenant-readings";r=4;t=1'
    answer = refused(web, tenant)
    body = assert_problem(answer, 429, "rate_limited")
    assert body["detail"] == "The limit tenant-readings is reached: 5 readings a second."
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["RateLimit-Policy"] == '"tenant-readings";q=5;w=1'
    found = re.fullmatch(r'"tenant-readings";r=0;t=([0-9]+)', answer.headers["RateLimit"])
    assert found is not None
    # The draft: Retry-After is not earlier than the end of the window.
    assert int(answer.headers["Retry-After"]) >= int(found[1]) >= 1
    wait_until(lambda: predict(web, tenant).status_code == 200, what="the end of the refusals")
    assert predict(web, f"other-{web.server}").status_code == 200


def test_bodies_that_are_refused_count_once(web: Web) -> None:
    """The event loop hands them to Flask, which looks at them again."""
    left = [predict(web, f"bad-{web.server}", body=body) for body in ({"charger_id": "EVZ-1"}, {"bad": 1})]
    assert [answer.status_code for answer in left] == [422, 422]
    assert left[0].headers["RateLimit"] == '"tenant-readings";r=4;t=1'
    assert left[1].headers["RateLimit"] in {'"tenant-readings";r=3;t=1', '"tenant-readings";r=4;t=1'}


def test_a_key_has_limits_of_its_own(redis: RunningServer, web: Web) -> None:
    key = created(redis, "--role", "predict", "--limit", "readings_per_second=2", "--limit", "jobs=7")
    wait_for(web, key, 200)
    answer = refused(web, f"key-{web.server}", key=key)
    assert_problem(answer, 429, "rate_limited")
    assert answer.headers["RateLimit-Policy"] == '"key-readings";q=2;w=1, "tenant-readings";q=5;w=1'
    assert answer.headers["RateLimit"].startswith('"key-readings";r=0;t=')
    assert predict(web, f"key-{web.server}").status_code == 200  # the key of the settings has none


def test_refusals_are_counted_and_reads_are_not_limited(web: Web) -> None:
    refused(web, f"counted-{web.server}")
    headers = {"X-Tenant-ID": f"counted-{web.server}"}
    for _ in range(3 * TENANT_RATE):
        assert web.client.get("/api/v1/jobs", headers=headers).status_code == 200
    page = web.client.get("/metrics").text
    found = re.search(r'ml_requests_limited_total\{limit="tenant-readings"\} ([0-9.]+)', page)
    assert found is not None
    assert float(found[1]) >= 1


@pytest.mark.owasp("API4", "two web processes are not twice the readings")
def test_two_processes_share_a_limit(doors: dict[str, Web]) -> None:
    statuses: Counter[int] = Counter()
    started = time.monotonic()
    with ThreadPoolExecutor(8 * TENANT_RATE) as pool:
        while time.monotonic() - started < 10 or 429 not in statuses:
            asked = [pool.submit(predict, web, "shared") for web in [*doors.values()] * 4 * TENANT_RATE]
            statuses.update(each.result().status_code for each in asked)
    assert set(statuses) <= {200, 429, 504}  # 504: a busy machine
    elapsed_s = time.monotonic() - started
    # A second's worth at each that is there, another before they know of each other, then the limit.
    assert statuses[200] + statuses[504] <= TENANT_RATE * (elapsed_s + 2 * len(doors))


def test_limiters_share_the_bucket_in_redis(redis: RunningServer) -> None:
    rates = [tenant_rate("limiters", 2)]
    limiters = [RateLimiter(settings_for(redis.url)) for _ in range(6)]
    for limiter in limiters:  # none knows of the others yet
        for _ in range(2):
            limiter.take(rates)
        limiter.reconcile()
    # 12 readings at once are a debt of 5 seconds.
    with pytest.raises(RateLimited) as caught:
        limiters[-1].take(rates)
    assert caught.value.retry_after_s >= 2


def test_while_redis_is_away_a_process_counts_by_itself() -> None:
    with start_redis() as server:
        limiter = RateLimiter(settings_for(server.url))
        limiter.take([tenant_rate("a", 1)])
        limiter.reconcile()
        server.kill()
        limiter.reconcile()
        rates = [tenant_rate("a", 1_000_000)]
        limiter.take(rates)
        taken = [limiter.take(rates)[0].left for _ in range(3)]
        assert max(taken) < 1_000_000
        server.restart()
        limiter.reconcile()
        assert limiter.take(rates)


def test_without_limits_nothing_is_counted(redis: RunningServer, doors: dict[str, Web]) -> None:
    with Web(environment(redis.url.replace("/0", "/10"))) as web:
        answer = web.client.post(FAILURE, json={"bad": 1})
        assert answer.status_code == 422
        assert "RateLimit" not in answer.headers
        assert "RateLimit-Policy" not in answer.headers
