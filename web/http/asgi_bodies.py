"""Receive small request bodies on the event loop, within a time limit.

No thread is held meanwhile: a client that sends nothing, or a byte now and then, costs its own connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from errors import BodyTooSlow

if TYPE_CHECKING:
    from a2wsgi.asgi_typing import Receive, ReceiveEvent

LEAST_BYTES_PER_S: Final = 1_000


async def read_body(
    receive: Receive, most_bytes: int, *, within_s: float
) -> tuple[list[ReceiveEvent], bytes | None]:
    """The received events and the body. The body is None if it is too large or the client disconnected.

    Raises `BodyTooSlow` if it is not complete after `within_s`, and a second more for each kilobyte received.
    """
    events: list[ReceiveEvent] = []
    chunks: list[bytes] = []
    size, more = 0, True
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(began + within_s) as limit:
            while more:
                event = await receive()
                events.append(event)
                if event["type"] != "http.request":
                    return events, None
                chunk = event.get("body", b"")
                chunks.append(chunk)
                size += len(chunk)
                if size > most_bytes:
                    return events, None
                more = event.get("more_body", False)
                if more:
                    limit.reschedule(began + within_s + size / LEAST_BYTES_PER_S)
    except TimeoutError:
        raise BodyTooSlow(
            f"The body was not complete {within_s:g} s after the headers, and came with less than "
            f"{LEAST_BYTES_PER_S} bytes a second."
        ) from None
    return events, b"".join(chunks)


def replayed(events: list[ReceiveEvent], receive: Receive) -> Receive:
    """A `receive` that returns `events` first. Always a coroutine function, which a2wsgi requires."""
    heard = iter(events)

    async def receive_again() -> ReceiveEvent:
        for event in heard:
            return event
        return await receive()

    return receive_again
