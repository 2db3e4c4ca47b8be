"""Answers that are sent as they are made: the other end of a request, and what ends a stream.

A view that streams holds a thread for as long as its client listens, so that it must learn at once when the
client has gone: Granian says so to whoever asks, and nobody does in a thread of WSGI. A stream that cannot
go on is cut, which a client notices, and never ended as if it were complete.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Final, cast

from redis import RedisError
from werkzeug.exceptions import ClientDisconnected, RequestTimeout

from tasks.waiting import Places
from web.http import Request, Response, current_request
from web.services import services

if TYPE_CHECKING:
    from a2wsgi.asgi_typing import HTTPScope, Receive, ReceiveEvent, Send, SendEvent

log = logging.getLogger(__name__)

# A client that sends or takes nothing for so long is cut off: it holds one of few threads.
STALLED_S: Final = 60.0
# Between thread and client lie ten of these at most.
PIECE_BYTES: Final = 131_072
_KEY: Final = "evzone.connection"


_shutdown: Final = threading.Event()


class StreamBroken(Exception):
    """Raised where a stream cannot go on, with the reason."""


class Connection:
    """The other end of one request. `receive`, `send` and `close` are for the event loop, the rest for its
    thread.

    `has_body`: it came with one; `body_is_here`: no more of it is to come.
    """

    def __init__(
        self, receive: Receive, send: Send, *, has_body: bool = False, body_is_here: bool = False
    ) -> None:
        self.body_is_here: Final = body_is_here
        self._has_body = has_body and not body_is_here
        self._receive = receive
        self._body_ended = False
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._streams = False
        self._over = threading.Event()
        self._watcher: asyncio.Task[None] | None = None

    def within(self, scope: HTTPScope) -> HTTPScope:
        """The scope, by which the view finds this."""
        return cast("HTTPScope", {**scope, _KEY: self})

    def listen(self) -> None:
        """From now on this is a stream. Its request must have no body that is still to be read."""
        self._streams = True
        self._loop.call_soon_threadsafe(self._watch)

    def over(self, wait_s: float = 0.0) -> bool:
        """Whether the client has gone, or was cut off. Blocks until then, `wait_s` at most."""
        return self._over.wait(wait_s)

    def cut(self) -> None:
        """Send nothing any more, not even the end."""
        self._over.set()

    async def receive(self) -> ReceiveEvent:
        """The next piece of the body. Raises werkzeug's `RequestTimeout` if none comes, and
        `ClientDisconnected` if the client leaves before its end: a2wsgi would take that for the end, and half
        a file for a file.
        """
        try:
            event = await asyncio.wait_for(self._receive(), STALLED_S)
        except TimeoutError:
            raise RequestTimeout(f"Nothing of the body has come for {STALLED_S:g} s.") from None
        if event["type"] == "http.disconnect":
            if not self._body_ended:
                raise ClientDisconnected("The connection was lost before the end of the body.")
        else:
            self._body_ended = not event.get("more_body", False)
        return event

    async def send(self, event: SendEvent) -> None:
        if event["type"] == "http.response.start" and self._has_body and not self._body_ended:
            # The server closes the connection then, and a client that does not know would send its next
            # request into the closing.
            event = {**event, "headers": [*event["headers"], (b"connection", b"close")]}
        if not self._streams:
            await self._send(event)
        elif not self._over.is_set():
            try:
                await asyncio.wait_for(self._send(event), STALLED_S)
            except TimeoutError:
                log.info("a client that took nothing for %g s is cut off", STALLED_S)
                self.cut()

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    def _watch(self) -> None:
        _notice_shutdown()
        self._watcher = self._loop.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cut()


def shutting_down() -> bool:
    """Whether this process has been told to end. It waits for open streams: endless ones should end now."""
    return _shutdown.is_set()


@cache
def _notice_shutdown() -> None:
    """From the first stream on. On the event loop, whose own handlers are not disturbed: it hears of signals
    by a file descriptor, and keeps an empty function in the place that is taken here.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: _shutdown.set())


def receiving(request: Request) -> AbstractContextManager[None]:
    """Around the reading of a body: a place among those who wait, unless it has come already.

    Raises `QueueFull` on entry.
    """
    connection: Connection = request.environ["asgi.scope"][_KEY]
    return nullcontext() if connection.body_is_here else services().waiting_threads


def stream(
    make: Callable[[Connection], Iterator[bytes]],
    *,
    content_type: str,
    headers: Mapping[str, str],
    within: Places | None = None,
) -> Response:
    """An answer in parts, each sent when it is made; making one may raise `StreamBroken` and `RedisError`.

    Takes one of the places for those who wait, and one of `within`. What goes wrong before the first part is
    raised here, so that it can still become a problem document; `QueueFull` too.
    """
    request = current_request()
    if request.method == "HEAD":
        response = Response((), content_type=content_type, headers=headers)
        response.automatically_set_content_length = False
        return response
    connection: Connection = request.environ["asgi.scope"][_KEY]
    coming = make(connection)
    with ExitStack() as held:
        held.enter_context(services().waiting_threads)
        if within is not None:
            held.enter_context(within)
        first = next(coming, b"")
        connection.listen()
        response = Response(_sent(connection, first, coming), content_type=content_type, headers=headers)
        response.call_on_close(held.pop_all().close)
    return response


def _sent(connection: Connection, first: bytes, coming: Iterator[bytes]) -> Iterator[bytes]:
    try:
        for part in chain([first], coming):
            for start in range(0, len(part), PIECE_BYTES):
                if connection.over():
                    return
                yield part[start : start + PIECE_BYTES]
    except (StreamBroken, RedisError) as error:
        log.warning("a stream is cut: %s", error)
        connection.cut()
    except Exception:
        log.exception("a stream is cut")
        connection.cut()
