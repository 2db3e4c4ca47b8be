"""The prediction client on a real Redis, the test in the worker's place."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from settings import read_settings
from tasks.client.predictor import PredictionClient
from tasks.storage.verdict_cache import VerdictCache
from tests.integration.client.worker_by_hand import TIMEOUT_S, WorkerByHand
from tests.processes import environment
from tests.services import RunningServer


@pytest.fixture
def worker(redis: RunningServer) -> Iterator[WorkerByHand]:
    by_hand = WorkerByHand(redis.url.replace("/0", "/5"))  # a database of its own: no real worker reads it
    yield by_hand
    by_hand.redis.flushdb()
    by_hand.redis.close()


@pytest.fixture(params=[TIMEOUT_S])
def client(
    worker: WorkerByHand,
    redis: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[PredictionClient]:
    env = environment(redis.url.replace("/0", "/5"), ML_SYNC_TIMEOUT=str(request.param), ML_MAX_WAITING="40")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(dotenv=None)
    client = PredictionClient(settings, VerdictCache(settings))
    yield client
    client.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(60) as pool:
        yield pool
