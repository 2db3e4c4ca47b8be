"""Calls of one client at the same time, and calls that are given up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from driven import circuit, reading
from proxy import Proxy

from evzone_ml_client import AsyncMLClient, MLClient, ServiceUnavailable, Settings
from tests.processes import KEY


def settings(proxy: Proxy) -> Settings:
    return Settings(url=proxy.url, api_key=KEY, timeout_s=30, breaker_failures=2, breaker_open_s=0.5)


async def given_up(ml: AsyncMLClient) -> None:
    """A call that its caller does not wait for."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ml.predict_failure(reading()), 0.1)


async def half_opened(ml: AsyncMLClient, proxy: Proxy) -> None:
    """Have the circuit open, and wait until it lets one call through, to a service that is mute."""
    proxy.refuse()
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="unreachable"):
            await ml.predict_failure(reading())
    with pytest.raises(ServiceUnavailable, match="circuit_open") as raised:
        await ml.predict_failure(reading())
    proxy.hang()
    await asyncio.sleep(raised.value.retry_after_s or 0)


def test_calls_that_are_given_up_say_nothing_of_the_service(proxy: Proxy) -> None:
    async def scenario() -> None:
        async with AsyncMLClient(settings(proxy)) as ml:
            proxy.hang()
            for _ in range(3):
                await given_up(ml)
            assert circuit(ml) == "closed"
            proxy.recover()
            await ml.predict_failure(reading())

    asyncio.run(scenario())


def test_one_call_is_let_through_to_see_whether_the_service_is_back(proxy: Proxy) -> None:
    async def scenario() -> None:
        async with AsyncMLClient(settings(proxy)) as ml:
            await half_opened(ml, proxy)
            first = asyncio.create_task(ml.predict_failure(reading()))
            while proxy.connections == 0:
                await asyncio.sleep(0.01)
            assert circuit(ml) == "half_open"
            for _ in range(3):
                with pytest.raises(ServiceUnavailable, match="circuit_open"):
                    await ml.predict_failure(reading())
            assert proxy.connections == 1
            proxy.recover()
            await first  # its connection broke, and it has tried again
            assert circuit(ml) == "closed"

    asyncio.run(scenario())


def test_another_call_is_let_through_when_the_first_is_given_up(proxy: Proxy) -> None:
    async def scenario() -> None:
        async with AsyncMLClient(settings(proxy)) as ml:
            await half_opened(ml, proxy)
            await given_up(ml)
            proxy.recover()
            await ml.predict_failure(reading())
            assert circuit(ml) == "closed"

    asyncio.run(scenario())


def test_one_client_serves_many_tasks(proxy: Proxy) -> None:
    async def scenario() -> None:
        async with AsyncMLClient(settings(proxy)) as ml:
            asked = [reading() for _ in range(50)]
            answers = await asyncio.gather(*map(ml.predict_failure, asked))
            assert [answer["charger_id"] for answer in answers] == [each["charger_id"] for each in asked]

    asyncio.run(scenario())


def test_one_client_serves_many_threads(proxy: Proxy) -> None:
    asked = [reading() for _ in range(50)]
    with MLClient(settings(proxy)) as ml, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ml.predict_failure, asked))
    assert [answer["charger_id"] for answer in answers] == [each["charger_id"] for each in asked]
