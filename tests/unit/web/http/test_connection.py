"""What is known of a request's other end under each kind of server, and bodies that break off."""

from __future__ import annotations

import io
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from werkzeug.exceptions import ClientDisconnected, RequestTimeout
from werkzeug.wsgi import get_input_stream

from web.http import connection
from web.http.connection import Body, Connection, SocketConnection, connect, connection_of


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's end and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def environ_of(body: bytes, **more: Any) -> dict[str, Any]:
    return {"wsgi.input": io.BytesIO(body), **more}


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The signals that reach the server's own handler of SIGINT. No handler is installed yet."""
    received: list[int] = []
    for name in ("_noticing", "_shutdown"):
        monkeypatch.setattr(connection, name, threading.Event())
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    yield received
    for number, handler in before:
        signal.signal(number, handler)


def test_signals_are_noticed_also_after_a_first_call_in_another_thread(signals: list[int]) -> None:
    elsewhere = threading.Thread(target=connection.notice_signals)
    elsewhere.start()
    elsewhere.join()
    for _ in range(2):  # the second call must not install the handlers twice
        connection.notice_signals()
    assert not connection.shutting_down()
    signal.raise_signal(signal.SIGINT)
    assert connection.shutting_down()
    assert signals == [signal.SIGINT]
    assert isinstance(handler := signal.getsignal(signal.SIGINT), partial)
    assert not isinstance(handler.args[0], partial)


def test_a_whole_body_is_read_and_nothing_behind_it() -> None:
    environ = environ_of(b"12345next", CONTENT_LENGTH="5")
    connect(environ)
    assert get_input_stream(environ, max_content_length=100).read() == b"12345"


def test_a_body_that_is_shorter_than_its_length_broke_off() -> None:
    """Also where the server says that bodies end: half a file is no file."""
    environ = environ_of(b"123", CONTENT_LENGTH="5", **{"wsgi.input_terminated": True})
    connect(environ)
    with pytest.raises(ClientDisconnected):
        get_input_stream(environ, max_content_length=100).read()


def test_a_body_without_a_length_is_empty_unless_the_server_ends_it() -> None:
    """Reading on could wait for the next request."""
    for ends, expected in ((True, b"123"), (False, b"")):
        environ = environ_of(b"123", **({"wsgi.input_terminated": True} if ends else {}))
        connect(environ)
        assert get_input_stream(environ, max_content_length=100).read() == expected


def test_whatever_a_server_raises_the_body_broke_off() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ValueError("bad chunk")

    with pytest.raises(ClientDisconnected, match="ValueError"):
        Body(Broken(), None).read(10)


def test_a_body_that_stalls_is_given_up(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STALLED_S", 0.01)
    ours, theirs = ends
    with ours.makefile("rb", buffering=0) as stream:
        environ: dict[str, Any] = {"wsgi.input": stream, "CONTENT_LENGTH": "5", "gunicorn.socket": ours}
        connect(environ)
        theirs.sendall(b"1")
        with pytest.raises(RequestTimeout):
            get_input_stream(environ, max_content_length=100).read()


def test_a_client_that_goes_is_noticed_though_it_left_something(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    other_end = SocketConnection(ours)
    assert not other_end.over()
    theirs.sendall(b"GET / HTTP/1.1")
    assert not other_end.over()
    theirs.close()
    assert other_end.over(10.0)


def test_a_cut_connection_is_closed_without_an_end(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    other_end = SocketConnection(ours)
    other_end.cut()
    other_end.cut()  # it has gone already
    assert other_end.over()
    assert theirs.recv(1) == b""


def test_of_an_unknown_server_nothing_is_believed() -> None:
    environ = environ_of(b"")
    connect(environ)
    other_end = connection_of(environ)
    assert type(other_end) is Connection
    assert (other_end.can_cut, other_end.tells_cut_bodies, other_end.body_is_here) == (False, False, False)
    assert not other_end.over()
