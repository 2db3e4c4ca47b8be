"""Workers that die or hang in the middle of a task: real processes, and the web process's client."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from redis import Redis

from errors import PredictionTimeout, ScoringFailed
from readings.reading import Reading
from settings import read_settings
from tasks.client.predictor import PredictionClient
from tasks.messaging.names import Queues
from tasks.monitoring.heartbeats import living
from tasks.storage.verdict_cache import VerdictCache
from tests.processes import Process, environment, wait_until
from tests.readings import new_charger_id, reading
from tests.services import RunningServer

DEADLINE_S = 6.0  # ML_SYNC_TIMEOUT; twice what is delivered, for a busy machine
NEIGHBOURS = 8


@pytest.fixture(scope="module")
def url(redis: RunningServer) -> str:
    return redis.url.replace("/0", "/6")  # a database of its own: no other worker reads it


@pytest.fixture(scope="module")
def worker(url: str) -> Iterator[Process]:
    flags = ["-P", "prefork", "-c", "2", "--without-gossip", "--without-mingle"]
    command = [sys.executable, "-m", "celery", "-A", "tests.integration.fragile_app", "worker", *flags]
    with Process([*command, "-Q", Queues.SINGLE, "-n", "fragile@%h"], environment(url)) as process:
        wait_until(lambda: len(able(url)) == 2, what="the fragile worker", log=process.log)
        yield process


def able(url: str) -> set[int]:
    with Redis.from_url(url) as redis:
        return {
            worker.pid for worker in living(redis) if worker.able and Path(f"/proc/{worker.pid}").exists()
        }


@pytest.fixture
def client(worker: Process, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PredictionClient]:
    wait_until(lambda: len(able(url)) == 2, what="both processes", log=worker.log)
    for name, value in environment(url, ML_SYNC_TIMEOUT=str(DEADLINE_S)).items():
        monkeypatch.setenv(name, value)
    settings = read_settings(dotenv=None)
    client = PredictionClient(settings, VerdictCache(settings))
    yield client
    client.close()


def faulty(charger_id: str, fault: str | None = None) -> Reading:
    return reading(charger_id, datetime.now(UTC), metadata={"costs": {"fault": fault}} if fault else {})


def ask_together(
    client: PredictionClient, chargers: list[str], faults: dict[str, str]
) -> dict[str, Future[bytes]]:
    """Ask for all at once while the window is full, so that most of them travel together."""
    pool = ThreadPoolExecutor(len(chargers) + 4)
    for _ in range(4):
        pool.submit(client.predict, "failure", faulty(new_charger_id()), None)
    asked = {
        charger: pool.submit(client.predict, "failure", faulty(charger, faults.get(charger)), None)
        for charger in chargers
    }
    pool.shutdown(wait=False)
    return asked


@pytest.mark.owasp("API4", "a reading that ends its worker costs no other reading")
@pytest.mark.parametrize("fault", ["kills", "hangs"])
def test_one_reading_that_ends_its_process_takes_no_neighbour_with_it(
    client: PredictionClient, fault: str
) -> None:
    chargers = [new_charger_id() for _ in range(NEIGHBOURS)]
    poison = chargers[NEIGHBOURS // 2]
    asked = ask_together(client, chargers, {poison: fault})
    for charger, future in asked.items():
        if charger != poison:
            assert orjson.loads(future.result(DEADLINE_S + 1))["charger_id"] == charger
    error = asked[poison].exception(DEADLINE_S + 1)
    assert isinstance(error, ScoringFailed | PredictionTimeout)
