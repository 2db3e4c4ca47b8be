"""Requests that need a thread: a limited number waits for one, and none waits long."""

from __future__ import annotations

import asyncio

import pytest

from errors import QueueFull
from web.http.thread_queue import MOST_WAITING, ThreadQueue


async def hold(queue: ThreadQueue, until: asyncio.Event) -> None:
    async with queue.turn():
        await until.wait()


async def started(queue: ThreadQueue, until: asyncio.Event, number: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(hold(queue, until)) for _ in range(number)]
    await asyncio.sleep(0.01)
    return tasks


def test_as_many_are_admitted_as_there_are_threads() -> None:
    async def run() -> None:
        its, until = ThreadQueue(4, wait_s=0.05), asyncio.Event()
        tasks = await started(its, until, 4)
        with pytest.raises(QueueFull):
            await hold(its, until)
        until.set()
        await asyncio.gather(*tasks)
        await hold(its, until)  # threads are free again

    asyncio.run(run())


def test_a_request_waits_for_a_thread() -> None:
    async def run() -> None:
        its, until, free = ThreadQueue(4, wait_s=30), asyncio.Event(), asyncio.Event()
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
        its, until = ThreadQueue(4, wait_s=30), asyncio.Event()
        tasks = await started(its, until, 4 + MOST_WAITING)
        with pytest.raises(QueueFull):
            await hold(its, until)
        tasks.pop().cancel()
        (last,) = await started(its, until, 1)
        assert not last.done()
        until.set()
        done = await asyncio.gather(*tasks, last, return_exceptions=True)
        assert done == [None] * len(done)

    asyncio.run(run())
