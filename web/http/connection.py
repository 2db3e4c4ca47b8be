"""The other end of a request: whether the client is still there, and how to break off an answer.

Servers differ in what an application learns of the client. An ASGI server reports everything
(`AsgiConnection`). gunicorn hands over the socket. Other WSGI servers only close the iterator of
an answer when they cannot send any more.
"""

from __future__ import annotations

import asyncio
import logging
import select
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from werkzeug.exceptions import ClientDisconnected, RequestTimeout

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, WSGIEnvironment
    from a2wsgi.asgi_typing import HTTPScope, Receive, ReceiveEvent, Send, SendEvent

# A client that sends or takes nothing for so long is cut off: it holds one of few threads.
STALLED_S: Final = 60.0
KEY: Final = "evzone.connection"
# Linux reports a closed connection although unread bytes are left; other systems report only a reset.
_GONE: Final = getattr(select, "POLLRDHUP", select.POLLHUP)

_shutdown: Final = threading.Event()


def shutting_down() -> bool:
    """Whether this process has been told to end. It waits for open streams: endless ones should end now."""
    return _shutdown.is_set()


@cache
def notice_signals() -> None:
    """Let `shutting_down` know of SIGTERM and SIGINT. The server's own handlers are called as before.

    Call it in the main thread, once the server has set its handlers. Where there is none it does nothing.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if callable(before):
                signal.signal(number, partial(_ending, before))


def _ending(before: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
    _shutdown.set()
    before(number, frame)


class Connection:
    """The other end of one request, of which the server reports nothing.

    `body_is_here`: no more of the body is to come. `can_cut`: a client notices that an answer was cut.
    `tells_cut_bodies`: a body without a length that breaks off is an error, and does not just end.
    """

    body_is_here: bool = False
    can_cut: ClassVar[bool] = False
    tells_cut_bodies: ClassVar[bool] = False

    def __init__(self) -> None:
        self._over = threading.Event()

    def listen(self) -> None:
        """From now on this is a stream."""

    def over(self, wait_s: float = 0.0) -> bool:
        """Whether the client has gone, or was cut off. Blocks until then, `wait_s` at most."""
        return self._over.wait(wait_s)

    def cut(self) -> None:
        """Send nothing any more, not even the end."""
        self._over.set()


class SocketConnection(Connection):
    """The same where the server hands over its socket. A client that sends or takes nothing is cut off."""

    can_cut = True
    tells_cut_bodies = True

    def __init__(self, its_socket: socket.socket) -> None:
        super().__init__()
        self._socket = its_socket
        # The server makes it blocking again for the next request.
        its_socket.settimeout(STALLED_S)

    def over(self, wait_s: float = 0.0) -> bool:
        if not self._over.is_set():
            poller = select.poll()
            poller.register(self._socket, _GONE)
            if poller.poll(wait_s * 1000):
                self._over.set()
        return self._over.is_set()

    def cut(self) -> None:
        super().cut()
        with suppress(OSError):  # it has gone by itself
            self._socket.shutdown(socket.SHUT_RDWR)


class Body:
    """The body of a request as a WSGI server hands it over, and nothing but the whole of it.

    Werkzeug takes the end of the connection for the end of the body where the server says that bodies end.
    """

    def __init__(self, stream: InputStream, size_bytes: int | None) -> None:
        self._stream = stream
        self._left_bytes = size_bytes

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; none at the end. Blocks.

        Raises werkzeug's `RequestTimeout` if nothing comes, and `ClientDisconnected` if the body breaks off.
        """
        left_bytes = self._left_bytes
        if left_bytes is not None:
            size = left_bytes if size < 0 else min(size, left_bytes)
        try:
            piece = self._stream.read(size)
        except TimeoutError:
            raise RequestTimeout(f"Nothing of the body has come for {STALLED_S:g} s.") from None
        except Exception as error:  # servers have their own
            raise ClientDisconnected(f"The body broke off: {type(error).__name__}.") from error
        if left_bytes is not None:
            if size and not piece:
                raise ClientDisconnected("The connection was lost before the end of the body.")
            self._left_bytes = left_bytes - len(piece)
        return piece


def connect(environ: WSGIEnvironment) -> None:
    """Find out what there is to know of a request's other end, for `connection_of`. Once for each request."""
    scope: Any = environ.get("asgi.scope")
    if scope is not None:
        # A body without a length ends where the server says so: a2wsgi forgets to tell, and werkzeug would
        # take it for empty.
        environ["wsgi.input_terminated"] = True
        environ[KEY] = scope[KEY]
        return
    its_socket = environ.get("gunicorn.socket")
    environ[KEY] = Connection() if its_socket is None else SocketConnection(its_socket)
    length: str = environ.get("CONTENT_LENGTH") or ""
    size_bytes = int(length) if length.isascii() and length.isdecimal() else None
    environ["wsgi.input"] = Body(environ["wsgi.input"], size_bytes)
    if size_bytes is not None:
        environ["wsgi.input_terminated"] = True


def connection_of(environ: WSGIEnvironment) -> Connection:
    """The other end of the request with this environ."""
    connection: Connection = environ[KEY]
    return connection


log = logging.getLogger(__name__)


class AsgiConnection(Connection):
    """`receive`, `send` and `close` are for the event loop, the rest for the request's thread.

    `has_body`: it came with one; `body_is_here`: no more of it is to come; `answers`: the answer has begun.
    """

    can_cut = True
    tells_cut_bodies = True

    def __init__(
        self, receive: Receive, send: Send, *, has_body: bool = False, body_is_here: bool = False
    ) -> None:
        super().__init__()
        self.body_is_here = body_is_here
        self._has_body = has_body and not body_is_here
        self._receive = receive
        self._body_ended = False
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._streams = False
        self.answers = False
        self._watcher: asyncio.Task[None] | None = None

    def within(self, scope: HTTPScope) -> HTTPScope:
        """The scope, by which the view finds this."""
        return cast("HTTPScope", {**scope, KEY: self})

    def listen(self) -> None:
        """From now on this is a stream. Its request must have no body that is still to be read."""
        self._streams = True
        self._loop.call_soon_threadsafe(self._start_watching)

    async def receive(self) -> ReceiveEvent:
        """The next piece of the body. Raises werkzeug's `RequestTimeout` if none comes, and
        `ClientDisconnected` if the client leaves before its end: a2wsgi would take that for the end, and half
        a file for a file.
        """
        stalled_s = STALLED_S
        try:
            event = await asyncio.wait_for(self._receive(), stalled_s)
        except TimeoutError:
            raise RequestTimeout(f"Nothing of the body has come for {stalled_s:g} s.") from None
        if event["type"] == "http.disconnect":
            if not self._body_ended:
                raise ClientDisconnected("The connection was lost before the end of the body.")
        else:
            self._body_ended = not event.get("more_body", False)
        return event

    async def send(self, event: SendEvent) -> None:
        self.answers = True
        if event["type"] == "http.response.start" and self._has_body and not self._body_ended:
            # The server closes the connection then, and a client that does not know would send its next
            # request into the closing.
            event = {**event, "headers": [*event["headers"], (b"connection", b"close")]}
        if not self._streams:
            await self._send(event)
        elif not self._over.is_set():
            stalled_s = STALLED_S
            try:
                await asyncio.wait_for(self._send(event), stalled_s)
            except TimeoutError:
                log.info("a client that took nothing for %g s is cut off", stalled_s)
                self.cut()

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    def _start_watching(self) -> None:
        notice_signals()
        self._watcher = self._loop.create_task(self._until_disconnected())

    async def _until_disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cut()
