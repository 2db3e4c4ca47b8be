"""The client's connection: detect a disconnect, and abort a response.

Servers differ in how they report a disconnect. An ASGI server sends an event (`AsgiConnection`). gunicorn
hands over the socket (`SocketConnection`). Other WSGI servers only close the response's iterator when sending
fails.
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
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from werkzeug.exceptions import ClientDisconnected, RequestTimeout

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, WSGIEnvironment
    from a2wsgi.asgi_typing import HTTPScope, Receive, ReceiveEvent, Send, SendEvent

log = logging.getLogger(__name__)

# A client that sends or reads nothing for this long is disconnected: it occupies one of few threads.
STALLED_S: Final = 60.0
KEY: Final = "evzone.connection"
# Linux reports a closed connection even while unread bytes are left; other systems report only a reset.
_PEER_CLOSED: Final = getattr(select, "POLLRDHUP", select.POLLHUP)

_shutdown: Final = threading.Event()
# Set once the handlers of `notice_signals` are installed.
_noticing: Final = threading.Event()


def shutting_down() -> bool:
    """Whether this process has received SIGTERM or SIGINT.

    Endless streams must end then, because the exit waits for open streams.
    """
    return _shutdown.is_set()


def notice_signals() -> None:
    """Install handlers of SIGTERM and SIGINT that set `shutting_down` and then call the server's handlers.

    Call it in the main thread, after the server has set its handlers. Does nothing in other threads, for a
    signal without a handler, and once the handlers are installed.
    """
    if not _noticing.is_set() and threading.current_thread() is threading.main_thread():
        _noticing.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if callable(before):
                signal.signal(number, partial(_ending, before))


def _ending(before: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
    _shutdown.set()
    before(number, frame)


class Connection:
    """The client's connection for one request, on a server that reports no disconnect. Thread-safe.

    `body_is_here`: the whole body has been received. `can_cut`: the client can detect a response that was
    aborted. `tells_cut_bodies`: the server reports a truncated body without a length as an error.
    """

    body_is_here: bool = False
    can_cut: ClassVar[bool] = False
    tells_cut_bodies: ClassVar[bool] = False

    def __init__(self) -> None:
        self._over = threading.Event()

    def listen(self) -> None:
        """Start watching for a disconnect: the response is a stream."""

    def over(self, wait_s: float = 0.0) -> bool:
        """Whether the client has disconnected or was cut off. Blocks until then, for at most `wait_s`."""
        return self._over.wait(wait_s)

    def cut(self) -> None:
        """Abort the response: nothing more is sent, not even its end."""
        self._over.set()


class SocketConnection(Connection):
    """A connection with access to its socket. A client that sends or reads nothing for 60 s is cut off."""

    can_cut = True
    tells_cut_bodies = True

    def __init__(self, its_socket: socket.socket) -> None:
        super().__init__()
        self._socket = its_socket
        # The server sets it to blocking again for the next request.
        its_socket.settimeout(STALLED_S)

    def over(self, wait_s: float = 0.0) -> bool:
        """Whether the client has disconnected or was cut off. Polls the socket for at most `wait_s`."""
        if not self._over.is_set():
            poller = select.poll()
            poller.register(self._socket, _PEER_CLOSED)
            if poller.poll(wait_s * 1000):
                self._over.set()
        return self._over.is_set()

    def cut(self) -> None:
        """Abort the response and shut the socket down."""
        super().cut()
        with suppress(OSError):  # already closed
            self._socket.shutdown(socket.SHUT_RDWR)


class Body:
    """The request body of a WSGI server. A truncated body raises an error.

    With `wsgi.input_terminated` set, werkzeug treats the end of the connection as the end of the body.
    """

    def __init__(self, stream: InputStream, size_bytes: int | None) -> None:
        self._stream = stream
        self._left_bytes = size_bytes

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes; returns no bytes at the end. Blocks as long as the server's socket does.

        Raises werkzeug's `RequestTimeout` if nothing arrives, and `ClientDisconnected` for a truncated body.
        """
        left_bytes = self._left_bytes
        if left_bytes is not None:
            size = left_bytes if size < 0 else min(size, left_bytes)
        try:
            piece = self._stream.read(size)
        except TimeoutError:
            raise RequestTimeout(f"Nothing of the body has come for {STALLED_S:g} s.") from None
        except Exception as error:  # each server raises its own type
            raise ClientDisconnected(f"The body broke off: {type(error).__name__}.") from error
        if left_bytes is not None:
            if size and not piece:
                raise ClientDisconnected("The connection was lost before the end of the body.")
            self._left_bytes = left_bytes - len(piece)
        return piece


def connect(environ: WSGIEnvironment) -> None:
    """Store the connection in a request's environ, for `connection_of`. Call it once per request."""
    scope: Any = environ.get("asgi.scope")
    if scope is not None:
        # ASGI servers report the end of a body without a length. a2wsgi does not pass this on, and werkzeug
        # would treat the body as empty.
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
    """The connection of the request with this environ. Needs `connect` first."""
    connection: Connection = environ[KEY]
    return connection


class AsgiConnection(Connection):
    """The connection of an ASGI request.

    Call `receive`, `send` and `close` on the event loop, the other methods in the request's thread.

    `has_body`: the request has a body. `body_is_here`: all of it has been received. `silent_s`: the longest
    pause within the body. `answers`: the response has started.
    """

    can_cut = True
    tells_cut_bodies = True

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        silent_s: float,
        has_body: bool = False,
        body_is_here: bool = False,
    ) -> None:
        super().__init__()
        self._silent_s = silent_s
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
        """The scope with this connection in it, for `connect`."""
        return cast("HTTPScope", {**scope, KEY: self})

    def listen(self) -> None:
        """Start watching for a disconnect. Read the body first: watching discards the rest of it."""
        self._streams = True
        self._loop.call_soon_threadsafe(self._start_watching)

    async def receive(self) -> ReceiveEvent:
        """Receive the next event of the body, within `silent_s`.

        Raises werkzeug's `RequestTimeout` if none arrives, and `ClientDisconnected` if the client disconnects
        before the end. a2wsgi would treat a disconnect as the end of the body, and accept half a file.
        """
        try:
            event = await asyncio.wait_for(self._receive(), self._silent_s)
        except TimeoutError:
            raise RequestTimeout(f"Nothing of the body has come for {self._silent_s:g} s.") from None
        if event["type"] == "http.disconnect":
            if not self._body_ended:
                raise ClientDisconnected("The connection was lost before the end of the body.")
        else:
            self._body_ended = not event.get("more_body", False)
        return event

    async def send(self, event: SendEvent) -> None:
        """Send an event of the response.

        A client that reads nothing of a stream for 60 s is cut off. Events after a cut are dropped.
        """
        self.answers = True
        if event["type"] == "http.response.start" and self._has_body and not self._body_ended:
            # The server closes the connection after such a response. A client without this header could send
            # its next request on the closing connection.
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
        """Stop watching for a disconnect."""
        if self._watcher is not None:
            self._watcher.cancel()

    def _start_watching(self) -> None:
        notice_signals()
        self._watcher = self._loop.create_task(self._until_disconnected())

    async def _until_disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cut()
