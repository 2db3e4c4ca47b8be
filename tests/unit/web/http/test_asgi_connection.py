"""The other end of a stream, seen from the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from werkzeug.exceptions import RequestTimeout

from web.http import connection
from web.http.connection import AsgiConnection


async def nothing_comes() -> Any:
    await asyncio.get_running_loop().create_future()


def test_a_client_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALLED_S", 0.01)
    sent: list[Any] = []

    async def stuck(event: Any) -> None:
        sent.append(event)
        await asyncio.get_running_loop().create_future()

    async def talk() -> bool:
        other_end = AsgiConnection(nothing_comes, stuck, silent_s=30)
        other_end.listen()
        await other_end.send({"type": "http.response.body", "body": b"1", "more_body": True})
        await other_end.send({"type": "http.response.body", "body": b"", "more_body": False})
        other_end.close()
        return other_end.over()

    assert asyncio.run(talk())
    assert [event["body"] for event in sent] == [b"1"]


def test_a_client_that_goes_is_noticed_though_nothing_is_sent() -> None:
    async def talk() -> bool:
        gone = asyncio.Event()

        async def receive() -> Any:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(_event: Any) -> None: ...

        other_end = AsgiConnection(receive, send, silent_s=30)
        other_end.listen()
        gone.set()
        return await asyncio.to_thread(other_end.over, 10.0)

    assert asyncio.run(talk())


def test_what_is_no_stream_is_sent_as_it_is() -> None:
    async def talk() -> list[Any]:
        sent: list[Any] = []

        async def send(event: Any) -> None:
            sent.append(event["body"])

        other_end = AsgiConnection(nothing_comes, send, silent_s=30)
        await other_end.send({"type": "http.response.body", "body": b"1", "more_body": False})
        other_end.close()
        return sent

    assert asyncio.run(talk()) == [b"1"]


def test_a_body_that_stops_midway_is_given_up() -> None:
    async def send(_event: Any) -> None: ...

    async def talk() -> None:
        await AsgiConnection(nothing_comes, send, silent_s=0.01).receive()

    with pytest.raises(RequestTimeout):
        asyncio.run(talk())
