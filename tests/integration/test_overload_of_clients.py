"""200 real clients offer about ten times as much as the service can score, and then less again.

Their retries must not keep the overload alive. Each client has its own budget of retries and its own circuit,
as in 200 processes of a backend.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from evzone_ml_client import AsyncMLClient, ServiceUnavailable, Settings
from evzone_ml_client.retries import Retry
from evzone_ml_client.schemas import Reading
from tasks.messaging.names import Queues
from tests.processes import KEY, Web, environment, start_worker, wait_until
from tests.services import RunningServer

CLIENTS: Final = 200
CALLS: Final = 6
RATIO: Final = 0.1
RESERVE: Final = 2
OPEN_S: Final = 1.0
SLOW_S: Final = 0.1
# As many as the worker scores in about a second: what is accepted is answered in time.
MOST_WAITING: Final = int(1.2 / SLOW_S)
APP: Final = "bench.slow_worker"
JOBS: Final = 10
ROWS: Final = 5


@pytest.fixture
def slow(lone_redis: RunningServer) -> Iterator[Web]:
    """A web process, and a worker for each queue that scores ten readings a second.

    Time-outs are long, so that the test fails on no slow machine: load is shed by the number that wait.
    """
    env = environment(
        lone_redis.url,
        ML_MAX_WAITING=str(MOST_WAITING),
        ML_SYNC_TIMEOUT="10",
        READINGS_A_SECOND=str(1 / SLOW_S),
    )
    with (
        start_worker(Queues.SINGLE, env, app=APP) as single,
        start_worker(Queues.BATCH, env, app=APP) as batch,
        Web(env) as web,
    ):
        wait_until(web.ready, what="readiness", log=lambda: single.log() + web.log())
        wait_until(lambda: "ready" in batch.log(), what="the batch worker", log=batch.log)
        yield web


@dataclass
class Caller:
    """One client, and how its calls ended. `retries` is the number of repeated attempts."""

    name: str
    ml: AsyncMLClient
    retries: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    jobs: list[str] = field(default_factory=list)

    async def predict(self, number: int) -> None:
        """One call; each has another reading, so that no answer comes from the cache."""
        try:
            answer = await self.ml.predict_failure(self.reading(number))
        except ServiceUnavailable as error:
            self.ends[error.reason] += 1
        else:
            assert answer["charger_id"] == self.name
            self.ends["answered"] += 1

    async def submit(self) -> None:
        """Submit a job. An accepted one is noted."""
        try:
            job = await self.ml.submit_batch([self.reading(number) for number in range(ROWS)])
        except ServiceUnavailable as error:
            self.ends[error.reason] += 1
        else:
            self.jobs.append(job["job_id"])

    def reading(self, number: int) -> Reading:
        return {"charger_id": self.name, "connector_status": "CHARGING", "temperature": 20.0 + number}


@asynccontextmanager
async def callers(url: str) -> AsyncIterator[list[Caller]]:
    async with AsyncExitStack() as opened:
        found: list[Caller] = []
        # Each client would load the authorities by itself, which takes longer than its calls.
        context = ssl.create_default_context()

        def called(number: int) -> Caller:
            def note(retry: Retry) -> None:
                caller.retries += 1

            settings = Settings(
                url=url,
                api_key=KEY,
                timeout_s=20.0,
                attempts=4,
                retry_ratio=RATIO,
                retry_reserve=RESERVE,
                breaker_open_s=OPEN_S,
                ssl_context=context,
            )
            caller = Caller(f"EVZ-{number:04d}", AsyncMLClient(settings, on_retry=note))
            return caller

        for number in range(CLIENTS):
            found.append(called(number))
            await opened.enter_async_context(found[-1].ml)
        yield found


def received(web: Web) -> Counter[str]:
    """The answers to predictions and jobs that the service has given, by status."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(web.client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == "ml_http_requests_total" and sample.labels["method"] == "POST":
                found[sample.labels["status"]] += round(sample.value)
    return found


async def overload(web: Web) -> None:
    async with callers(web.url) as all_callers:

        async def called_often(number: int) -> None:
            caller = all_callers[number]
            if number < JOBS:
                await caller.submit()
            for each in range(CALLS):
                await caller.predict(each)

        await asyncio.gather(*map(called_often, range(CLIENTS)))
        assert_was_an_overload(all_callers, received(web))
        await assert_all_are_answered(all_callers[::3])
        await assert_nothing_is_lost(all_callers)


def assert_was_an_overload(all_callers: list[Caller], by_status: Counter[str]) -> None:
    """The service answered a small part, and retries added little to the load."""
    ends = sum((caller.ends for caller in all_callers), Counter[str]())
    retries = sum(caller.retries for caller in all_callers)
    calls = CLIENTS * CALLS + JOBS
    print(f"{calls} calls, {retries} retries: {dict(ends)}; answers: {dict(by_status)}")  # noqa: T201 - the report of the run
    # More would have been retried without the budget.
    assert 0 < retries <= calls * RATIO + CLIENTS * RESERVE
    assert 0 < ends["answered"] < calls / 3
    assert set(ends) <= {"answered", "overloaded", "server_error", "timeout", "circuit_open"}
    assert calls <= by_status.total() + ends["circuit_open"] + ends["timeout"]
    assert by_status.total() <= calls * (1 + RATIO) + CLIENTS * RESERVE
    # The client of each scored reading has its verdict.
    assert ends["answered"] == by_status["200"]


async def assert_all_are_answered(some: list[Caller]) -> None:
    """With one call at a time every first attempt is answered. Circuits close by their own trial calls."""
    await asyncio.sleep(OPEN_S)
    before = sum(caller.retries for caller in some)
    for caller in some:
        caller.ends.clear()
        await caller.predict(CALLS)
        assert caller.ends == {"answered": 1}, caller.name
        assert caller.ml.circuit == "closed"
    assert sum(caller.retries for caller in some) == before


async def assert_nothing_is_lost(all_callers: list[Caller]) -> None:
    """Accepted jobs have all their rows, and answered predictions are in the fleet."""
    ml = all_callers[0].ml
    job_ids = [job_id for caller in all_callers for job_id in caller.jobs]
    assert job_ids
    for job_id in job_ids:
        async for event in ml.stream_job(job_id):
            job = event.job
        assert (job["status"], job["done"], job["failed"]) == ("SUCCEEDED", ROWS, 0)
    fleet = {row["charger_id"] async for row in ml.fleet()}
    assert fleet >= {caller.name for caller in all_callers if caller.ends["answered"]}


@pytest.mark.owasp("API4", "retries of 200 clients do not keep an overload alive")
def test_retries_do_not_keep_an_overload_alive(slow: Web) -> None:
    random.seed(7)  # of the pauses
    asyncio.run(overload(slow))
