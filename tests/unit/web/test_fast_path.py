"""Errors on the way to Flask: whatever is raised outside its own handlers still becomes an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from settings import read_settings
from web.fast_path import FastPath

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/health",
    "query_string": b"",
    "headers": [(b"x-request-id", b"the-caller's")],
}
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


@pytest.fixture(scope="module")
def front() -> FastPath:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_SERVICE_API_KEY", "k" * 20)
        patch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
        patch.setenv("MODEL_DIR", "/")
        return FastPath(read_settings(dotenv=None))


def answered(front: FastPath) -> list[dict[str, Any]]:
    """The events that the server is sent for one request."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    asyncio.run(front(SCOPE, receive, send))  # type: ignore[arg-type]  # plain dicts
    return sent


@pytest.mark.owasp("API8", "an unexpected error shows nothing of its cause")
def test_an_error_outside_flask_is_a_problem_document(
    front: FastPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("outside Flask")

    monkeypatch.setattr(front, "_threads", broken)
    start, body = answered(front)
    headers = dict(start["headers"])
    assert start["status"] == 500
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"x-request-id"] == b"the-caller's"
    assert orjson.loads(body["body"])["code"] == "internal"


def test_an_error_after_the_answer_has_begun_cuts_it(
    front: FastPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_scope: Any, _receive: Any, send: Any) -> None:
        await send(START)
        raise RuntimeError("in the middle")

    monkeypatch.setattr(front, "_threads", broken)
    with pytest.raises(RuntimeError, match="in the middle"):
        answered(front)
