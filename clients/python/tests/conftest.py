"""The running service of the integration tests, a proxy before it that fails as told, and both clients."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from driven import AsyncDriven, Connect
from proxy import Proxy

from evzone_ml_client import AsyncMLClient, MLClient, Settings
from evzone_ml_client.retries import OnRetry
from tests.integration.conftest import redis, web
from tests.processes import KEY, Web, environment, wait_until
from tests.readings import request as prediction_request
from tests.services import RunningServer, start_redis

__all__ = ["redis", "web"]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes a client of one of the two kinds; tests see both as `MLClient`."""
    with ExitStack() as opened:

        def connected(url: str, *, on_retry: OnRetry | None = None, **others: Any) -> MLClient:
            settings = Settings(url=url, **{"api_key": KEY, **others})
            if request.param == "sync":
                return opened.enter_context(MLClient(settings, on_retry=on_retry))
            return opened.enter_context(AsyncDriven(AsyncMLClient(settings, on_retry=on_retry))).client

        yield connected


@pytest.fixture
def ml(connect: Connect, web: Web) -> MLClient:
    return connect(web.url)


@pytest.fixture
def proxy(web: Web) -> Iterator[Proxy]:
    with Proxy(web.url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def unserved() -> Iterator[Web]:
    """A service without a worker: predictions end with 504, jobs stand still."""
    with start_redis() as redis, Web(environment(redis.url, ML_SYNC_TIMEOUT="0.2")) as web:
        yield web


@pytest.fixture(scope="session")
def limited(redis: RunningServer, web: Web) -> Iterator[Web]:
    """The running service through another web process, which gives each tenant a reading a second."""
    with Web(environment(redis.url, ML_TENANT_READINGS_PER_SECOND="1", ML_TENANT_JOBS="1")) as limited:
        yield limited


@pytest.fixture(scope="session")
def crowded() -> Iterator[Web]:
    """A service whose only place to wait in is taken: predictions are answered with 503 `queue_full`."""
    with (
        start_redis() as redis,
        Web(environment(redis.url, ML_MAX_WAITING="1", ML_SYNC_TIMEOUT="60")) as web,
        ThreadPoolExecutor(1) as pool,
    ):
        headers, path = {"X-API-Key": KEY}, "/api/v1/predictions/failure"
        pool.submit(httpx.post, web.url + path, json=prediction_request(), headers=headers, timeout=60)
        wait_until(lambda: "ml_gate_waiting 1.0" in web.client.get("/metrics").text, what="it to be taken")
        yield web
        web.stop()
