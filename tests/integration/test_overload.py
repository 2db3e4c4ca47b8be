"""More single predictions than workers can answer: each is answered in time or refused at once."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tasks.messaging.names import NICENESS, Queues
from tests.processes import KEY, Process, Web, environment, start_worker, wait_until
from tests.readings import request
from tests.services import RunningServer

FAILURE = "/api/v1/predictions/failure"
# A burst takes the worker 9 s. Callers wait for 5.
READINGS_A_SECOND = "100"
LEARNT_FROM = 300
BURST = 900
TIMEOUT_S = "5"


@pytest.fixture
def slow_web(redis: RunningServer) -> Iterator[Web]:
    """A web process, and a worker that scores 100 readings a second, on a database of their own."""
    env = environment(redis.url.replace("/0", "/12"), ML_SYNC_TIMEOUT=TIMEOUT_S)
    env |= {"READINGS_A_SECOND": READINGS_A_SECOND}
    with start_worker(Queues.SINGLE, env, app="bench.slow_worker"), Web(env) as web:
        wait_until(lambda: web.client.post(FAILURE, json=request()).status_code == 200, what="a first answer")
        yield web


async def answers_to(web: Web, number: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=number)
    async with httpx.AsyncClient(
        base_url=web.url, headers={"X-API-Key": KEY}, limits=limits, timeout=60
    ) as client:
        return await asyncio.gather(*(client.post(FAILURE, json=request()) for _ in range(number)))


@pytest.mark.owasp("API4", "beyond the capacity of slow workers, callers are refused at once and not kept")
def test_callers_beyond_the_capacity_are_refused_and_no_other_waits_in_vain(slow_web: Web) -> None:
    asyncio.run(answers_to(slow_web, LEARNT_FROM))
    found = asyncio.run(answers_to(slow_web, BURST))
    statuses = Counter(answer.status_code for answer in found)
    assert statuses.keys() == {200, 503}, statuses
    assert {answer.headers.get("Retry-After") for answer in found if answer.status_code == 503} == {"1"}
    assert {answer.json()["code"] for answer in found if answer.status_code == 503} == {"queue_full"}
    assert slow_web.client.post(FAILURE, json=request()).status_code == 200


def test_singles_take_precedence_over_the_stream_and_the_stream_over_jobs(
    redis: RunningServer, tmp_path: Path
) -> None:
    env = environment(redis.url.replace("/0", "/12"), STATE_DIR=str(tmp_path))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with ExitStack() as stack:
        for queue, more in NICENESS.items():
            worker = stack.enter_context(start_worker(queue, env))

            def has_stepped_back(worker: Process = worker, wanted: int = own + more) -> bool:
                found = [os.getpriority(os.PRIO_PROCESS, pid) for pid in worker.children()]
                return wanted in found

            wait_until(has_stepped_back, what=f"the niceness of {queue}", log=worker.log)
