"""Bodies on the event loop: whole, too large, cut off, too slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from errors import BodyTooSlow
from web.http import asgi_bodies
from web.http.asgi_bodies import BodyReader, replayed

if TYPE_CHECKING:
    from a2wsgi.asgi_typing import Receive


def piece(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def client(*events: dict[str, Any], pause_s: float = 0.0) -> Receive:
    """Sends these events, each after a pause, and then nothing."""
    coming = iter(events)

    async def receive() -> Any:
        await asyncio.sleep(pause_s)
        for event in coming:
            return event
        return await asyncio.Event().wait()

    return receive


def test_a_body_in_pieces_is_joined_and_can_be_read_again() -> None:
    async def run() -> None:
        reader = BodyReader(10, 30)
        receive = client(piece(b"ab", more=True), piece(b"c", more=False))
        events, body = await reader.read(receive)
        assert body == b"abc"
        again, same = await reader.read(replayed(events, receive))
        assert (again, same) == (events, body)

    asyncio.run(run())


@pytest.mark.parametrize(
    "events",
    [
        [piece(b"x" * 11, more=False)],
        [piece(b"x" * 6, more=True), piece(b"x" * 5, more=True)],
        [piece(b"x", more=True), {"type": "http.disconnect"}],
    ],
)
def test_what_is_too_large_or_cut_off_is_left_to_flask(events: list[dict[str, Any]]) -> None:
    received, body = asyncio.run(BodyReader(10, 30).read(client(*events)))
    assert body is None
    assert received == events


@pytest.mark.parametrize("events", [[], [piece(b"x", more=True)]])
def test_a_body_that_stops_is_given_up(events: list[dict[str, Any]]) -> None:
    with pytest.raises(BodyTooSlow, match="not complete"):
        asyncio.run(BodyReader(10, 0.01).read(client(*events)))


def test_bytes_that_come_fast_enough_win_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_bodies, "LEAST_BYTES_PER_S", 10)
    events = [piece(b"x" * 20, more=True), piece(b"y", more=False)]
    _, body = asyncio.run(BodyReader(100, 0.15).read(client(*events, pause_s=0.1)))
    assert body == b"x" * 20 + b"y"


def test_one_that_stops_does_not_end_the_others_nor_a_cancelled_one_late() -> None:
    async def run() -> None:
        reader = BodyReader(10, 0.05)
        stuck = asyncio.create_task(reader.read(client()))
        whole = asyncio.create_task(reader.read(client(piece(b"abc", more=False))))
        left = asyncio.create_task(reader.read(client()))
        await asyncio.sleep(0)
        left.cancel()
        results = await asyncio.gather(stuck, whole, left, return_exceptions=True)
        assert isinstance(results[0], BodyTooSlow)
        assert results[1] == ([piece(b"abc", more=False)], b"abc")
        assert isinstance(results[2], asyncio.CancelledError)
        with pytest.raises(BodyTooSlow):  # it looks again after a pause
            await reader.read(client())

    asyncio.run(run())
