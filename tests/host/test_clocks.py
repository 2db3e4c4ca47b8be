"""Hosts whose clocks are wrong, or step, by libfaketime: deadlines are in the time of Redis."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.messaging.names import Queues
from tests.batches import ended
from tests.host.programs import require
from tests.http_jobs import submit
from tests.processes import Web, environment, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer, start_redis

pytestmark = pytest.mark.host

FAILURE = "/api/v1/predictions/failure"
PREDICTIONS = 20
# Around the deadline of 3 s, and beyond the 77 s after which the stream's readings expire.
OFFSETS_S = (5, -5, 120, -120)
LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"


@pytest.fixture(scope="module")
def library() -> str:
    """The library that changes the clock of a program."""
    require("faketime", "faketime")
    (found,) = Path("/").glob(LIBRARIES.removeprefix("/"))
    return str(found)


@pytest.fixture(scope="module")
def redis() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


def wrong(env: dict[str, str], library: str, offset: str) -> dict[str, str]:
    """An environment in which the wall clock is wrong, and the monotonic one is not."""
    return {**env, "LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def assert_all_are_answered(web: Web, log: str = "") -> None:
    answers = [web.client.post(FAILURE, json=request()) for _ in range(PREDICTIONS)]
    assert [answer.status_code for answer in answers] == [200] * PREDICTIONS, log


def check(web: Web) -> dict[str, str]:
    """What readiness says of the clocks."""
    answer = web.client.get("/health/ready")
    assert answer.status_code == 200
    found: dict[str, str] = answer.json()["checks"]["clocks"]
    return found


@pytest.mark.parametrize("offset_s", OFFSETS_S)
@pytest.mark.parametrize("whose", ["worker", "web"])
def test_a_wrong_clock_expires_no_task_and_is_named(
    redis: RunningServer, library: str, offset_s: int, whose: str
) -> None:
    # No worker serves the default database of the tests before it.
    url = redis.url.replace("/0", f"/{1 + OFFSETS_S.index(offset_s) + 4 * (whose == 'web')}")
    right = environment(url, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    off = wrong(right, library, f"{offset_s:+d}s")
    of_worker, of_web = (off, right) if whose == "worker" else (right, off)
    with (
        start_worker(Queues.SINGLE, of_worker) as worker,
        start_worker(Queues.BATCH, of_worker) as batch,
        Web(of_web) as web,
    ):
        wait_until(web.ready, what="readiness", log=lambda: worker.log() + web.log())
        assert_all_are_answered(web, worker.log())
        direction = "ahead of" if offset_s > 0 else "behind"
        told = wait_until(
            lambda: found if direction in (found := check(web)["detail"]) else "", what="the check"
        )
        assert f"{abs(offset_s)}." in told or f"{abs(offset_s) - 1}." in told
        job = submit(web.client, [metrics() for _ in range(20)])
        assert ended(web.client, job["job_id"])["status"] == "SUCCEEDED", batch.log()


def test_a_clock_that_steps_back_an_hour_expires_no_task(
    redis: RunningServer, library: str, tmp_path: Path
) -> None:
    url = redis.url.replace("/0", "/15")
    clock = tmp_path / "clock"
    clock.write_text("+0s\n")
    right = environment(url)
    changes = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    env = {**wrong(right, library, "+0s"), **changes}
    del env["FAKETIME"]  # it would win over the file
    with start_worker(Queues.SINGLE, env) as worker, Web(env) as web:
        wait_until(web.ready, what="readiness", log=lambda: worker.log() + web.log())
        assert_all_are_answered(web, worker.log())
        clock.write_text("-3600s\n")
        assert_all_are_answered(web, worker.log())
        wait_until(lambda: "behind" in check(web)["detail"], what="the step to be seen")
        clock.write_text("+0s\n")
        assert_all_are_answered(web, worker.log())


def test_the_library_changes_the_clock(library: str) -> None:
    """Without this, the tests above would pass with nothing wrong."""
    env = wrong({"PATH": "/usr/bin:/bin"}, library, "-3600s")
    command = ["date", "+%s"]
    told, real = (
        int(subprocess.run(command, env=each, capture_output=True, text=True, check=True).stdout)
        for each in (env, {"PATH": "/usr/bin:/bin"})
    )
    assert 3590 < real - told < 3610
