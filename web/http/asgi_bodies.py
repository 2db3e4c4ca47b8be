"""Receive small request bodies on the event loop, within a time limit.

No thread is held meanwhile: a client that sends nothing, or a byte now and then, costs its own connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from errors import BodyTooSlow

if TYPE_CHECKING:
    from a2wsgi.asgi_typing import Receive, ReceiveEvent

# A body gets a second more for each kilobyte that has been received.
LEAST_BYTES_PER_S: Final = 1_000
LOOK_EVERY_S: Final = 1.0


class BodyReader:
    """Receive bodies of up to `most_bytes`, each within `within_s` seconds. Use it on one event loop.

    One look a second covers all of them. A timer for each would cost 1 % of a prediction's CPU time.
    """

    def __init__(self, most_bytes: int, within_s: float) -> None:
        self._most_bytes = most_bytes
        self._within_s = within_s
        # The end of the time of each body that is being received, in the loop's clock.
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._looks = False

    async def read(self, receive: Receive) -> tuple[list[ReceiveEvent], bytes | None]:
        """The received events and the body. The body is None if it is too large or the client disconnected.

        Raises `BodyTooSlow` if it is not complete in time.
        """
        loop = asyncio.get_running_loop()
        task = cast("asyncio.Task[Any]", asyncio.current_task())  # a coroutine that runs has one
        ends = self._ends[task] = loop.time() + self._within_s
        if not self._looks:
            self._look_again(loop)
        events: list[ReceiveEvent] = []
        chunks: list[bytes] = []
        size, more = 0, True
        try:
            while more:
                event = await receive()
                events.append(event)
                if event["type"] != "http.request":
                    return events, None
                chunk = event.get("body", b"")
                chunks.append(chunk)
                size += len(chunk)
                if size > self._most_bytes:
                    return events, None
                more = event.get("more_body", False)
                self._ends[task] = ends + size / LEAST_BYTES_PER_S
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise  # by somebody else
            task.uncancel()
            raise BodyTooSlow(
                f"The body was not complete {self._within_s:g} s after the headers, and came with less than "
                f"{LEAST_BYTES_PER_S} bytes a second."
            ) from None
        finally:
            del self._ends[task]
            self._overdue.discard(task)
        return events, b"".join(chunks)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looks = True
        loop.call_later(min(LOOK_EVERY_S, self._within_s), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, ends in self._ends.items():
            if ends <= now and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        self._looks = False
        if self._ends:
            self._look_again(loop)


def replayed(events: list[ReceiveEvent], receive: Receive) -> Receive:
    """A `receive` that returns `events` first. Always a coroutine function, which a2wsgi requires."""
    heard = iter(events)

    async def receive_again() -> ReceiveEvent:
        for event in heard:
            return event
        return await receive()

    return receive_again
