"""A TCP proxy that does to connections what bad networks do: it slows, cuts, resets, silences and moves them.

    with TcpProxy(redis.url) as proxy:
        client = Redis(port=proxy.port)
        proxy.reset()

One event loop in a thread of its own carries all connections. All methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from tests.processes import free_port
from tests.resp import command_names, reply_end

LOOPBACK: Final = "127.0.0.1"
SO_ATTACH_FILTER: Final = 26  # Linux; Python's `socket` has no name for it
SO_DETACH_FILTER: Final = 27
# A classic BPF program of one instruction, `ret #0`: the kernel drops each segment for this socket.
_DROP: Final = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_DROP_ALL: Final = struct.pack("HP", 1, ctypes.addressof(_DROP))


class TcpProxy:
    """Passes connections on to `target`, a URL or a port of this host. Attributes may be changed at any time.

    `target_port`: where new connections lead; those that are there stay with their server.
    `up_bytes`, `down_bytes`: the bytes that a connection may carry to the server and back, None: any.
    `answer_delay_s`: each answer arrives so much later; answers do not wait for each other.
    `loses`: called with the name of each Redis command whose reply has come. If it returns true, the reply is
    thrown away and the connection is reset: Redis has executed the command, and the client cannot know.
    `cuts` counts connections that were cut.
    """

    def __init__(self, target: str | int) -> None:
        self.target_port = target if isinstance(target, int) else urlsplit(target).port or 0
        self.up_bytes: int | None = None
        self.down_bytes: int | None = None
        self.answer_delay_s = 0.0
        self.loses: Callable[[bytes], bool] | None = None
        self.cuts = 0
        self._pairs: set[_Pair] = set()
        self._listening = socket.create_server((LOOPBACK, free_port()), backlog=1024)
        self.port: Final[int] = self._listening.getsockname()[1]
        self.url: Final = f"http://{LOOPBACK}:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._end)
        self._thread.join()

    def reset(self) -> None:
        """Reset all connections (RST), on both sides. New ones are taken."""
        self._call(self._reset_all)

    def silence(self) -> None:
        """Let all connections go half-open for ever: their segments vanish, and no FIN or RST ever comes.

        The server does not learn of it either. New connections are taken.
        """
        self._call(self._silence_all)

    def drop_new(self, dropped: bool) -> None:
        """Whether the segments of new connections vanish too: an attempt to connect gets no answer."""
        _drop_all(self._listening, dropped)

    def _call(self, do: Callable[[], object]) -> None:
        """Run `do` in the loop's thread, and wait for its end."""

        async def run() -> None:
            do()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _run(self) -> None:
        serving = self._loop.create_server(lambda: _Client(self), sock=self._listening)
        server = self._loop.run_until_complete(serving)
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(asyncio.sleep(0.01))  # transports close in the next rounds
        self._loop.close()

    def _reset_all(self) -> None:
        for pair in list(self._pairs):
            pair.reset()

    def _silence_all(self) -> None:
        for pair in self._pairs:
            pair.silence()

    def _end(self) -> None:
        self._reset_all()
        self._loop.stop()


def _drop_all(end: socket.socket, dropped: bool) -> None:
    """Have the kernel drop all segments that arrive for a socket, or not any more."""
    if dropped:
        end.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, _DROP_ALL)
    else:
        end.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


class _Pair:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: TcpProxy, client: asyncio.Transport, server: asyncio.Transport) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server
        self.is_silent = False
        self.passed = {"up": 0, "down": 0}
        self.asked: deque[bytes] = deque()
        self.unread = b""  # of commands
        self.unsent = b""  # of replies
        self.due = 0.0

    def up(self, data: bytes) -> None:
        if self._may_pass("up", data, self.proxy.up_bytes):
            if self.proxy.loses is not None:
                names, self.unread = command_names(self.unread + data)
                self.asked.extend(names)
            self.server.write(data)

    def down(self, data: bytes) -> None:
        if self.is_silent or not self._may_pass("down", data, self.proxy.down_bytes):
            return
        if self.asked or self.unsent:
            self._pass_replies(data)
        else:
            self._answer(data)

    def _pass_replies(self, data: bytes) -> None:
        """Pass on whole replies, up to the first that is lost."""
        data, start = self.unsent + data, 0
        while (end := reply_end(data, start)) is not None:
            # A push message (RESP3) is no reply.
            name = self.asked.popleft() if self.asked and data[start : start + 1] != b">" else b""
            if name and self.proxy.loses is not None and self.proxy.loses(name):
                self._answer(data[:start])
                self.proxy.cuts += 1
                self.reset()
                return
            start = end
        self.unsent = data[start:]
        if start:
            self._answer(data[:start])

    def _answer(self, data: bytes) -> None:
        loop = self.proxy._loop
        self.due = max(self.due, loop.time() + self.proxy.answer_delay_s)
        if self.due <= loop.time():
            self.client.write(data)
        else:
            loop.call_at(self.due, self.client.write, data)

    def _may_pass(self, way: str, data: bytes, most: int | None) -> bool:
        self.passed[way] += len(data)
        if most is None or self.passed[way] <= most:
            return True
        self.proxy.cuts += 1
        self.reset()
        return False

    def reset(self) -> None:
        """End both connections at once, without the polite goodbye."""
        self.proxy._pairs.discard(self)
        for end in (self.client, self.server):
            with suppress(OSError):
                _socket(end).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.abort()

    def silence(self) -> None:
        self.is_silent = True
        _drop_all(_socket(self.client), dropped=True)

    def lost(self, end: asyncio.Transport) -> None:
        """One end was closed: so is the other, after the bytes that are on their way to it."""
        if self.is_silent:
            return
        self.proxy._pairs.discard(self)
        if end is self.server:
            self.proxy._loop.call_at(max(self.due, self.proxy._loop.time()), self.client.close)
        else:
            self.server.close()


def _socket(end: asyncio.Transport) -> socket.socket:
    found: socket.socket = end.get_extra_info("socket")
    return found


class _Client(asyncio.Protocol):
    """A client's end. It is not read until the server's is there."""

    def __init__(self, proxy: TcpProxy) -> None:
        self._proxy = proxy
        self._pair: _Pair | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._connecting = asyncio.ensure_future(self._connect(transport))

    async def _connect(self, client: asyncio.Transport) -> None:
        try:
            server, protocol = await self._proxy._loop.create_connection(
                _Server, LOOPBACK, self._proxy.target_port
            )
        except OSError:
            client.abort()
            return
        self._pair = protocol.pair = _Pair(self._proxy, client, server)
        self._proxy._pairs.add(self._pair)
        if client.is_closing():
            self._pair.lost(client)
        else:
            client.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._pair is not None:
            self._pair.up(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pair is not None:
            self._pair.lost(self._pair.client)


class _Server(asyncio.Protocol):
    """The server's end."""

    pair: _Pair | None = None

    def data_received(self, data: bytes) -> None:
        if self.pair is not None:
            self.pair.down(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.pair is not None:
            self.pair.lost(self.pair.server)
