"""Callers with equal readings share a request, and leave it when their time is over."""

from __future__ import annotations

import asyncio

from tasks.client.pending import PendingRequests
from tasks.messaging.messages import ScoreRequest, ScoreResult
from tests.readings import reading


def test_callers_that_give_up_are_forgotten_while_others_go_on_joining() -> None:
    """Without workers, a caller that retries the same reading extends the request's life each time."""

    async def run() -> None:
        pending = PendingRequests()
        loop = asyncio.get_running_loop()
        asked = ScoreRequest("failure", None, reading("EVZ-1"), "f", 0.0)
        first = loop.create_future()
        request, is_new = pending.join(asked, 3.0, first, 0.0, cached_only=False)
        assert is_new
        for second in range(1, 100):
            another = loop.create_future()
            joined, is_new = pending.join(asked, second + 3.0, another, float(second), cached_only=False)
            assert (joined, is_new) == (request, False)
            pending.leave(request, another)
        assert pending.callers == 1
        assert pending.settle([(request, ScoreResult(b"{}"))]) == [first]
        pending.leave(request, first)
        assert pending.callers == 0

    asyncio.run(run())
