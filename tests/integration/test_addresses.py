"""Limits by the client's address, on both ways in: open requests, and wrong keys."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.http_jobs import assert_problem, events_of, submit
from tests.processes import KEY, Web, environment, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer
from web.http.wrong_keys import MOST_AT_ONCE

JOBS = "/api/v1/jobs"
FAILURE = "/api/v1/predictions/failure"
HEAD = f"POST {FAILURE} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
HALF_A_BODY = f'{HEAD}Content-Length: 99\r\n\r\n{{"charger'.encode()
BOTH = pytest.mark.parametrize("server", ["asgi", "gunicorn"])
CROWD, STRANGER, PROXY = "127.0.0.2", "127.0.0.3", "127.0.0.4"
MOST = 3


def client_at(web: Web, address: str, key: str = KEY) -> httpx.Client:
    """A client at an address of its own."""
    transport = httpx.HTTPTransport(local_address=address)
    headers = {"X-API-Key": key} if key else {}
    return httpx.Client(base_url=web.url, transport=transport, headers=headers, timeout=30)


def sent_from(web: Web, address: str, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", web.port), 30, source_address=(address, 0))
    connection.sendall(sent)
    return connection


def fill(web: Web, address: str, sent: bytes, is_refused: Callable[[], bool]) -> ExitStack:
    """Open one connection after another until the address is refused; they close with the stack."""
    opened = ExitStack()

    def is_full() -> bool:
        if not is_refused():
            opened.enter_context(sent_from(web, address, sent))
            return False
        return True

    wait_until(is_full, what="the first refusal", log=web.log)
    return opened


@pytest.fixture
def lonely(redis: RunningServer, server: str) -> Iterator[Web]:
    """A service without workers: single predictions wait for long."""
    env = environment(
        redis.url.replace("/0", "/10"), WEB_MAX_REQUESTS_BY_ADDRESS=str(MOST), ML_SYNC_TIMEOUT="60"
    )
    with Web(env, server=server) as web:
        yield web


@BOTH
@pytest.mark.owasp("API4", "half bodies, event streams and waiting requests of one address are bounded")
def test_an_address_has_so_many_requests_open(lonely: Web) -> None:
    job = submit(lonely.client, [metrics()])
    with (
        ExitStack() as opened,
        client_at(lonely, CROWD) as crowd,
        client_at(lonely, STRANGER) as stranger,
    ):
        opened.enter_context(sent_from(lonely, CROWD, HALF_A_BODY))
        assert opened.enter_context(crowd.stream("GET", events_of(job))).status_code == 200
        body = json.dumps(request()).encode()
        whole = f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body
        opened.enter_context(sent_from(lonely, CROWD, whole))
        wait_until(lambda: "ml_gate_waiting 1.0" in stranger.get("/metrics").text, what="the one that waits")

        wait_until(lambda: crowd.get(JOBS).status_code == 429, what="the first refusal", log=lonely.log)
        refused = crowd.get(JOBS)
        assert_problem(refused, 429, "too_many_from_address")
        assert refused.headers["Retry-After"] == "1"
        for _ in range(5):
            assert crowd.get("/health").status_code == 200
            assert stranger.get(JOBS).status_code == 200
        assert 'ml_requests_limited_total{limit="address"}' in stranger.get("/metrics").text
        opened.close()
        wait_until(lambda: crowd.get(JOBS).status_code == 200, what="an end of the refusals", log=lonely.log)


@BOTH
@pytest.mark.owasp("API4", "a request too many is refused before its body is read")
def test_a_request_too_many_is_refused_before_its_body(lonely: Web) -> None:
    with (
        client_at(lonely, CROWD) as crowd,
        fill(lonely, CROWD, HALF_A_BODY, lambda: crowd.get(JOBS).status_code == 429),
        sent_from(lonely, CROWD, f"{HEAD}Content-Length: 1000000\r\n\r\n".encode()) as one,
    ):
        assert one.recv(4096).startswith(b"HTTP/1.1 429 ")


@BOTH
@pytest.mark.owasp("API4", "a forged X-Forwarded-For wins no further requests")
def test_the_address_is_the_one_that_a_trusted_proxy_names(
    redis: RunningServer, server: str, tmp_path: Path
) -> None:
    audit_log = tmp_path / "audit.jsonl"
    env = environment(
        redis.url.replace("/0", "/10"),
        WEB_MAX_REQUESTS_BY_ADDRESS="1",
        TRUSTED_PROXIES=f"{PROXY},192.0.2.0/24",
        ACCESS_LOG="true",
        AUDIT_LOG=str(audit_log),
    )

    def half_of(forwarded: str) -> bytes:
        return HALF_A_BODY.replace(b"Host: x", f"Host: x\r\nX-Forwarded-For: {forwarded}".encode())

    def status(client: httpx.Client, forwarded: str) -> int:
        return client.get(JOBS, headers={"X-Forwarded-For": forwarded}).status_code

    with (
        Web(env, server=server) as web,
        client_at(web, PROXY) as proxy,
        client_at(web, STRANGER) as stranger,
        fill(
            web,
            PROXY,
            half_of("203.0.113.7, 192.0.2.1"),
            lambda: status(proxy, "203.0.113.7") == 429,
        ),
        fill(web, STRANGER, half_of("203.0.113.9"), lambda: status(stranger, "203.0.113.8") == 429),
    ):
        assert status(proxy, "198.51.100.1, 203.0.113.7") == 429
        assert status(proxy, "203.0.113.9") == 200
        assert status(proxy, "nonsense") == 200
        headers = {"X-Forwarded-For": "203.0.113.8", "X-Request-ID": "mine"}
        assert proxy.post("/api/v1/models/failure/activate", json={"version": "none"}, headers=headers)
        audited = json.loads(audit_log.read_text().splitlines()[-1])
        assert audited["origin"] == "203.0.113.8"

        def logged() -> list[str]:
            lines = [json.loads(line) for line in web.log().splitlines() if line.startswith("{")]
            return [
                line["address"]
                for line in lines
                if line["event"] == "answered" and line["request_id"] == "mine"
            ]

        assert wait_until(logged, what="the line of the access log") == ["203.0.113.8"]


@BOTH
@pytest.mark.owasp("API2", "repeated wrong keys of an address are slowed, and no valid key is")
def test_wrong_keys_are_slowed_and_valid_ones_are_not(redis: RunningServer, server: str) -> None:
    with (
        Web(environment(redis.url.replace("/0", "/10")), server=server) as web,
        client_at(web, CROWD, "wrong") as crowd,
        client_at(web, STRANGER, "wrong") as stranger,
        client_at(web, CROWD) as valid,
        client_at(web, CROWD, "") as keyless,
    ):
        answers = [crowd.get(JOBS) for _ in range(MOST_AT_ONCE)]
        assert {answer.status_code for answer in answers} == {401}
        wait_until(lambda: crowd.get(JOBS).status_code == 429, what="the first slow answer")
        for send in (partial(crowd.get, JOBS), partial(crowd.post, FAILURE, json=request())):
            slowed = send()
            assert_problem(slowed, 429, "too_many_wrong_keys")
            assert 2 <= int(slowed.headers["Retry-After"]) <= 60
        for path in ("/health", "/docs/"):
            assert crowd.get(path).status_code == 200
        assert valid.get(JOBS).status_code == 200
        assert_problem(keyless.get(JOBS), 401, "unauthorized")
        assert_problem(stranger.get(JOBS), 401, "unauthorized")
        page = valid.get("/metrics").text
        assert f'ml_wrong_keys_total{{result="refused"}} {MOST_AT_ONCE + 1}.0' in page
        assert 'ml_wrong_keys_total{result="slowed"}' in page
