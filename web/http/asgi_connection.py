"""The other end of a request, seen from the event loop of an ASGI server."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from werkzeug.exceptions import ClientDisconnected, RequestTimeout

from web.http import connection
from web.http.connection import KEY, Connection, notice_signals

if TYPE_CHECKING:
    from a2wsgi.asgi_typing import HTTPScope, Receive, ReceiveEvent, Send, SendEvent

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
        self._loop.call_soon_threadsafe(self._watch)

    async def receive(self) -> ReceiveEvent:
        """The next piece of the body. Raises werkzeug's `RequestTimeout` if none comes, and
        `ClientDisconnected` if the client leaves before its end: a2wsgi would take that for the end, and half
        a file for a file.
        """
        stalled_s = connection.STALLED_S
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
            stalled_s = connection.STALLED_S
            try:
                await asyncio.wait_for(self._send(event), stalled_s)
            except TimeoutError:
                log.info("a client that took nothing for %g s is cut off", stalled_s)
                self.cut()

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    def _watch(self) -> None:
        notice_signals()
        self._watcher = self._loop.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.cut()
