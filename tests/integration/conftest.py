"""One Redis, one worker for each REST queue and one web process, shared by the tests that do them no harm."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import httpx
import pytest

from tests.processes import Web, environment, running_service
from tests.services import RunningServer, start_redis

# What a script starts in its background ignores Ctrl-C, and so would every process that a test sends one to.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="session")
def web(redis: RunningServer) -> Iterator[Web]:
    with running_service(environment(redis.url)) as web:
        yield web


@pytest.fixture
def client(web: Web) -> httpx.Client:
    return web.client


@pytest.fixture
def lone_redis() -> Iterator[RunningServer]:
    """A Redis that no other test and no worker uses."""
    with start_redis() as server:
        yield server


@pytest.fixture
def lonely(request: pytest.FixtureRequest, lone_redis: RunningServer) -> Iterator[tuple[Web, RunningServer]]:
    """A service without a worker: its jobs stand still. Its parameter, if it has one, names the server."""
    server = getattr(request, "param", "asgi")
    with Web(environment(lone_redis.url, WEB_THREADS="8"), server=server) as web:
        yield web, lone_redis
