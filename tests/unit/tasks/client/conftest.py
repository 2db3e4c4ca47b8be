"""A simulated batcher for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.unit.tasks.client.simulation import Simulation


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def simulation(loop: asyncio.AbstractEventLoop) -> Simulation:
    return Simulation(loop)
