"""A TCP proxy that fails as networks, gateways and services do, and recovers when told."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
PIECE_BYTES = 16_384
TRICKLE_S = 0.05
HEAD = re.compile(rb"(GET|POST|DELETE) (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)


class Head(NamedTuple):
    """A request as it arrived, without its body. Names of headers are in lower case."""

    method: str
    path: str
    headers: list[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found == name]


@dataclass
class Behaviour:
    """How connections are treated: None is as they should be.

    They break after `up_bytes` of what is asked or `down_bytes` of what is answered, `cuts_left` times. After
    `trickle_after` bytes the answer comes byte by byte. `answers` are given to one connection each.
    """

    up_bytes: int | None = None
    down_bytes: int | None = None
    cuts_left: int | None = None
    trickle_after: int | None = None
    mute: bool = False
    answers: list[bytes] = field(default_factory=list)


class Proxy:
    """Passes on to `target`, a URL. Knows when it was connected to, and counts `cuts`.

    What is told by `refuse`, `hang`, `cut`, `trickle` and `answer` holds for connections made from then on,
    until `recover`; those that are open are closed.
    """

    def __init__(self, target: str) -> None:
        self._target = (LOOPBACK, urlsplit(target).port)
        self._listening = socket.create_server((LOOPBACK, 0))
        self._port = self._listening.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self._port}"
        self.connected_at: list[float] = []
        self.cuts = 0
        self._open: list[socket.socket] = []
        self._received: list[bytearray] = []
        self._behaviour = Behaviour()
        self._listen()

    @property
    def connections(self) -> int:
        return len(self.connected_at)

    @property
    def requests(self) -> list[Head]:
        """All requests so far, those of the oldest connection first."""
        return [_head(found) for received in self._received for found in HEAD.finditer(received)]

    def refuse(self) -> None:
        """Nobody listens any more."""
        self._behave(Behaviour())
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def hang(self) -> None:
        """Requests are taken, nothing is answered."""
        self._behave(Behaviour(mute=True))

    def cut(
        self, *, down_bytes: int | None = None, up_bytes: int | None = None, times: int | None = None
    ) -> None:
        """Connections break after so many bytes of the answer, or of the request; `times` of them (all)."""
        self._behave(Behaviour(down_bytes=down_bytes, up_bytes=up_bytes, cuts_left=times))

    def trickle(self, *, after_bytes: int) -> None:
        """From there on a byte of the answer comes every 50 ms: each in time, the whole never."""
        self._behave(Behaviour(trickle_after=after_bytes))

    def answer(self, *answers: bytes) -> None:
        """The next connections are given these answers, as a gateway does; then requests are passed on."""
        self._behave(Behaviour(answers=list(answers)))

    def recover(self) -> None:
        self._behave(Behaviour())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()

    def _behave(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        for end in self._open:
            _break(end)
        self._open = []
        if self._listening.fileno() < 0:
            self._listening = socket.create_server((LOOPBACK, self._port))
            self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            self.connected_at.append(time.monotonic())
            received = bytearray()
            self._received.append(received)
            behaviour = self._behaviour
            if behaviour.answers:
                answer = behaviour.answers.pop(0)
                threading.Thread(target=_answer, args=(client, answer, received), daemon=True).start()
                continue
            server = socket.create_connection(self._target)
            self._open += [client, server]
            for way in ((client, server, received), (server, client, None)):
                threading.Thread(target=self._pass_on, args=(*way, behaviour), daemon=True).start()

    def _pass_on(
        self, source: socket.socket, sink: socket.socket, received: bytearray | None, behaviour: Behaviour
    ) -> None:
        up = received is not None
        most = behaviour.up_bytes if up else behaviour.down_bytes
        passed = 0
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                if received is not None:
                    received += piece
                if behaviour.mute and not up:
                    continue
                if most is not None and behaviour.cuts_left != 0 and passed + len(piece) > most:
                    sink.sendall(piece[: most - passed])
                    self.cuts += 1
                    behaviour.cuts_left = None if behaviour.cuts_left is None else behaviour.cuts_left - 1
                    break
                if behaviour.trickle_after is None or up:
                    sink.sendall(piece)
                else:
                    _trickle(sink, piece, at_once=max(0, behaviour.trickle_after - passed))
                passed += len(piece)
        for end in (source, sink):
            _break(end)


def _head(found: re.Match[bytes]) -> Head:
    method, path, lines = (part.decode("latin-1") for part in found.groups())
    headers = [line.partition(":") for line in lines.split("\r\n")]
    return Head(method, path, [(name.lower(), value.strip()) for name, _, value in headers])


def _answer(client: socket.socket, answer: bytes, received: bytearray) -> None:
    with suppress(OSError):
        received += client.recv(PIECE_BYTES)
        client.sendall(answer)
        client.shutdown(socket.SHUT_WR)
        while client.recv(PIECE_BYTES):  # what is still coming: a reset would take the answer along
            pass
    client.close()


def _trickle(sink: socket.socket, piece: bytes, *, at_once: int) -> None:
    sink.sendall(piece[:at_once])
    for byte in piece[at_once:]:
        time.sleep(TRICKLE_S)
        sink.sendall(bytes([byte]))


def _break(end: socket.socket) -> None:
    """At once, without the polite goodbye."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    end.close()
