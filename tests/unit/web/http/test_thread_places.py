"""Places for requests that need a thread: few wait for one, and none waits long."""

from __future__ import annotations

import asyncio

import pytest

from errors import QueueFull
from web.http.thread_places import WAITING_A_THREAD, ThreadPlaces


async def hold(places: ThreadPlaces, until: asyncio.Event) -> None:
    async with places.place():
        await until.wait()


async def started(places: ThreadPlaces, until: asyncio.Event, number: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(hold(places, until)) for _ in range(number)]
    await asyncio.sleep(0.01)
    return tasks


def test_there_are_as_many_places_as_threads() -> None:
    async def run() -> None:
        its, until = ThreadPlaces(4, wait_s=0.05), asyncio.Event()
        tasks = await started(its, until, 4)
        with pytest.raises(QueueFull):
            await hold(its, until)
        until.set()
        await asyncio.gather(*tasks)
        await hold(its, until)  # there are places again

    asyncio.run(run())


def test_a_request_waits_for_a_place() -> None:
    async def run() -> None:
        its, until, free = ThreadPlaces(4, wait_s=30), asyncio.Event(), asyncio.Event()
        free.set()
        tasks = await started(its, until, 4)
        waiting = asyncio.create_task(hold(its, free))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        until.set()
        await asyncio.gather(*tasks, waiting)

    asyncio.run(run())


def test_too_many_that_wait_are_refused_at_once_and_forgotten_requests_leave() -> None:
    async def run() -> None:
        its, until = ThreadPlaces(4, wait_s=30), asyncio.Event()
        tasks = await started(its, until, 4 + 4 * WAITING_A_THREAD)
        with pytest.raises(QueueFull):
            await hold(its, until)
        tasks.pop().cancel()
        (last,) = await started(its, until, 1)
        assert not last.done()
        until.set()
        done = await asyncio.gather(*tasks, last, return_exceptions=True)
        assert done == [None] * len(done)

    asyncio.run(run())
