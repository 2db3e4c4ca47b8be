"""Both ways into the web process, the event loop's and Flask's: alike, and neither blocks the other."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import orjson
import pytest

from tests.batches import in_pieces
from tests.http_jobs import assert_problem
from tests.processes import KEY, Web, environment, wait_until
from tests.readings import request
from tests.services import RunningServer

FAILURE = "/api/v1/predictions/failure"
JSON = {"Content-Type": "application/json"}
PLACES = 40
# Of the four threads of a lonely process.
MAY_BE_RECEIVED = 3


@pytest.mark.parametrize(
    "detour",
    [
        {"content_type": "application/json; charset=utf-8"},
        {"content_type": "application/vnd.evzone+json"},
        {"metadata": {"note": "x" * 100_000}},
    ],
)
def test_what_flask_answers_the_loop_would_have_answered(
    client: httpx.Client, detour: dict[str, Any]
) -> None:
    reading = request(metadata=detour.get("metadata", {}), timestamp="2026-01-05T00:00:00Z")
    body = orjson.dumps(reading)
    headers = {"Content-Type": detour.get("content_type", "application/json"), "X-Request-ID": "mine"}
    by_flask = client.post(FAILURE, content=body, headers=headers)
    assert by_flask.status_code == 200, by_flask.text
    again = client.post(FAILURE, content=body, headers=JSON | {"X-Request-ID": "mine"})
    assert by_flask.json() | {"cached": True} == again.json()
    assert {**by_flask.headers, "date": "", "content-length": ""} == {
        **again.headers,
        "date": "",
        "content-length": "",
    }


def test_a_body_in_pieces_is_read_by_both(client: httpx.Client) -> None:
    small = orjson.dumps(request())
    large = orjson.dumps(request(metadata={"note": "x" * 200_000}))
    for body in (small, large):
        answer = client.post(FAILURE, content=in_pieces(body), headers=JSON)
        assert answer.status_code == 200, answer.text


@pytest.mark.owasp("API2", "a key that is sent twice is no key")
def test_a_header_sent_twice_is_nobodys_key(client: httpx.Client) -> None:
    twice = [("X-API-Key", KEY), ("X-API-Key", KEY), ("Content-Type", "application/json")]
    with httpx.Client(base_url=client.base_url) as bare:
        answer = bare.post(FAILURE, content=orjson.dumps(request()), headers=twice)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.owasp("API2", "`X_API_Key` and `X_Tenant_ID` count for nothing")
@pytest.mark.parametrize("path", ["/api/v1/predictions/failure", "/api/v1/jobs"])
def test_header_names_with_underscores_are_nobodys(client: httpx.Client, path: str) -> None:
    """A gateway that checks X-Tenant-ID does not see them."""
    body = orjson.dumps(request()) if path == FAILURE else None
    method = "GET" if body is None else "POST"
    odd = [("X_Tenant_ID", "not a tenant"), ("Content-Type", "application/json")]
    answer = client.request(method, path, headers=odd, content=body)
    assert answer.status_code == 200, answer.text
    with httpx.Client(base_url=client.base_url) as bare:
        keyless = bare.request(method, path, headers=[("X_API_Key", KEY), *odd], content=body)
    assert_problem(keyless, 401, "unauthorized")


def test_a_query_of_any_bytes_does_no_harm(web: Web) -> None:
    """Clients encode them; who speaks HTTP by hand may not."""

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(web.url.rpartition(":")[2]))
        writer.write(b"GET /health?q=\xc3\xbc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    assert asyncio.run(ask()).split(b" ")[1] in (b"200", b"400")


def test_both_ways_are_counted_alike(client: httpx.Client) -> None:
    def counted() -> float:
        name = 'ml_http_requests_total{endpoint="predictions.detect_anomaly",method="POST",status="200"}'
        page = client.get("/metrics").text
        return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))

    before = counted()
    body = orjson.dumps(request())
    client.post("/api/v1/predictions/anomaly", content=body, headers=JSON)
    client.post("/api/v1/predictions/anomaly", content=body, headers={"Content-Type": "text/x+json"})
    assert counted() == before + 2


@pytest.fixture
def lonely_web(redis: RunningServer) -> Iterator[Web]:
    """A web process without workers, on a database of its own: whoever asks it waits."""
    url = redis.url.replace("/0", "/9")
    with Web(environment(url, ML_MAX_WAITING=str(PLACES), ML_SYNC_TIMEOUT="6", WEB_THREADS="4")) as web:
        yield web


def waiting(web: Web) -> float:
    page = web.client.get("/metrics").text
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("ml_gate_waiting"))


@pytest.mark.owasp("API4", "waiting predictions are bounded, and health is answered")
def test_however_many_wait_health_is_answered_and_one_too_many_is_refused(lonely_web: Web) -> None:
    limits = httpx.Limits(max_connections=PLACES)
    headers = {"X-API-Key": KEY}
    with (
        httpx.Client(base_url=lonely_web.url, headers=headers, limits=limits, timeout=20) as caller,
        ThreadPoolExecutor(PLACES) as pool,
    ):
        asked: list[Future[httpx.Response]] = [
            pool.submit(caller.post, FAILURE, json=request()) for _ in range(PLACES)
        ]
        wait_until(lambda: waiting(lonely_web) == PLACES, what="all places to be taken", timeout_s=5)
        assert lonely_web.client.get("/health").status_code == 200
        refused = lonely_web.client.post(FAILURE, json=request())
        assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
        assert refused.headers["Retry-After"] == "1"
        for future in asked:
            late = future.result()
            assert (late.status_code, late.json()["code"]) == (504, "prediction_timeout")
            assert late.headers["Location"].startswith("/api/v1/predictions/EVZ-")


def test_a_charger_with_odd_letters_is_found_again_where_a_504_says(lonely_web: Web) -> None:
    late = lonely_web.client.post(FAILURE, json=request("A|B=1"))
    assert late.headers["Location"] == "/api/v1/predictions/A%7CB%3D1"


def started(web: Web, path: str, body: bytes, *, length: int) -> socket.socket:
    """A POST whose body stops before its end."""
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=10)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + body)
    return connection


@pytest.mark.owasp("API4", "bodies that stop midway hold up no other request")
@pytest.mark.parametrize("path", ["/api/v1/predictions/batch", "/api/v1/outcomes", FAILURE])
def test_bodies_that_stop_midway_hold_up_nobody(lonely_web: Web, path: str) -> None:
    """Of a cut network, for example: nobody tells the service that the rest will never come."""
    with ExitStack() as held:
        for _ in range(20):
            held.enter_context(started(lonely_web, path, b"{", length=100))
            held.enter_context(started(lonely_web, path, b"{" * 200_000, length=300_000))
        assert lonely_web.client.get("/health").status_code == 200
        batch = {"chargers": [request()["metrics"]]}
        assert lonely_web.client.post("/api/v1/predictions/batch", json=batch).status_code == 202


@pytest.mark.owasp("API4", "large bodies that are being received are bounded")
def test_too_many_bodies_that_still_come_are_refused(lonely_web: Web) -> None:
    path, body = "/api/v1/predictions/batch", b" " * 200_000
    with ExitStack() as held:
        begun_ones = [
            held.enter_context(started(lonely_web, path, body, length=len(body) + 1))
            for _ in range(MAY_BE_RECEIVED + 2)
        ]
        wait_until(lambda: len(select.select(begun_ones, [], [], 0)[0]) == 2, what="two to be answered")
        refused = lonely_web.client.post(path, content=body, headers=JSON)
        assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
    wait_until(
        lambda: lonely_web.client.post(path, content=body, headers=JSON).status_code == 400,
        what="the places to be free again",
    )


@pytest.mark.parametrize(
    ("path", "key", "status"), [(FAILURE, "another", 401), ("/api/v1/predictions/batch?kind=none", KEY, 422)]
)
def test_who_is_refused_before_the_body_is_told_that_the_connection_ends(
    client: httpx.Client, path: str, key: str, status: int
) -> None:
    """The rest of it is still to come, and the next request would go into the closing."""
    headers = JSON | {"X-API-Key": key}
    with httpx.Client(base_url=client.base_url) as bare:
        for size, connection in ((70_000, "close"), (1_000, None)):
            answer = bare.post(path, content=in_pieces(b"x" * size), headers=headers)
            assert (answer.status_code, answer.headers.get("Connection")) == (status, connection)
