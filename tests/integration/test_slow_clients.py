"""Clients that hang, by the thousand, cost nobody else an answer, and are closed in time."""

from __future__ import annotations

import resource
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tasks.messaging.names import Queues
from tests.processes import KEY, Web, environment, free_port, start_worker, wait_until
from tests.readings import request
from tests.services import RunningServer, start_redis

FAILURE = "/api/v1/predictions/failure"
HEAD = f"POST {FAILURE} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n".encode()
HALVES = {
    "silent": b"",
    "half a header": HEAD,
    "half a body": HEAD + b'Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"charger',
    "half a body to no endpoint": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
}
CLIENTS = 1_500
ANOTHER_ADDRESS = "127.0.0.2"


@dataclass
class Service:
    web: Web
    admin_url: str


@pytest.fixture(scope="module", autouse=True)
def _enough_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CLIENTS + 500:
        pytest.skip(f"this system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CLIENTS + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def service(redis: RunningServer) -> Iterator[Service]:
    port = free_port()
    env = environment(redis.url.replace("/0", "/7"), WEB_IDLE_TIMEOUT="5", WEB_BODY_TIMEOUT="5")
    with start_worker(Queues.SINGLE, env), Web(env | {"ADMIN_PORT": str(port)}) as web:
        wait_until(web.ready, what="readiness", log=web.log)
        yield Service(web, f"http://127.0.0.1:{port}")


@contextmanager
def hanging(web: Web, sent: bytes) -> Iterator[list[socket.socket]]:
    """`CLIENTS` connections of another address that have sent so much and send no more."""
    with ExitStack() as opened:
        clients = []
        for _ in range(CLIENTS):
            client = opened.enter_context(
                socket.create_connection(("127.0.0.1", web.port), 5, source_address=(ANOTHER_ADDRESS, 0))
            )
            client.sendall(sent)
            clients.append(client)
        yield clients


def are_closed(clients: list[socket.socket]) -> bool:
    """Whether the server has ended all of them. Takes answers, and removes those that have ended."""
    poller = select.poll()
    by_file = {client.fileno(): client for client in clients}
    for file in by_file:
        poller.register(file, select.POLLIN | select.POLLHUP)
    for file, _ in poller.poll(0):
        try:
            ended = not by_file[file].recv(4096)
        except OSError:
            ended = True
        if ended:
            clients.remove(by_file[file])
    return not clients


@pytest.mark.owasp("API4", "1,500 clients that hang cost others no answer, and are closed")
@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES)
def test_others_are_answered_while_clients_hang_and_these_are_closed(service: Service, sent: bytes) -> None:
    with hanging(service.web, sent) as clients, httpx.Client(timeout=3) as stranger:
        for _ in range(3):
            for url in (service.admin_url, service.web.url):
                assert stranger.get(f"{url}/health").status_code == 200
            answer = stranger.post(f"{service.web.url}{FAILURE}", json=request(), headers={"X-API-Key": KEY})
            assert answer.status_code == 200
        wait_until(lambda: are_closed(clients), what="the end of all that hang")


@pytest.mark.owasp("API4", "a slow body is given up")
def test_a_slow_body_is_answered_408(service: Service) -> None:
    client = socket.create_connection(("127.0.0.1", service.web.port), 5)
    with client:
        client.sendall(HALVES["half a body"])
        client.settimeout(30)
        answer = b""
        while piece := client.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    assert b"x-request-id: " in answer


@pytest.mark.owasp("API4", "headers are limited in size")
def test_headers_that_outgrow_the_buffer_are_refused(service: Service) -> None:
    answers = [
        httpx.get(f"{service.web.url}/health", headers={"X-Large": "x" * size}).status_code
        for size in (60_000, 140_000)
    ]
    assert answers == [200, 431]


@pytest.mark.owasp("API4", "requests that wait for a thread are bounded, and health is answered")
def test_health_has_a_thread_while_all_others_wait(service_without_redis: Web) -> None:
    web = service_without_redis
    with ThreadPoolExecutor(60) as pool, httpx.Client(base_url=web.url, timeout=30) as stranger:
        stuck = [pool.submit(stranger.get, "/api/v1/jobs", headers={"X-API-Key": KEY}) for _ in range(60)]
        wait_until(lambda: any(each.done() for each in stuck), what="the first refusal", log=web.log)
        assert not all(each.done() for each in stuck)
        assert stranger.get("/health").status_code == 200
        answers = [each.result() for each in stuck]
    assert {answer.status_code for answer in answers} == {503}
    codes = {answer.json()["code"] for answer in answers}
    assert codes == {"queue_full", "broker_unavailable"}
    assert all("Retry-After" in answer.headers for answer in answers)


@pytest.fixture
def service_without_redis(frozen_redis: RunningServer) -> Iterator[Web]:
    with Web(environment(frozen_redis.url, WEB_THREADS="4")) as web:
        frozen_redis.pause()
        try:
            yield web
        finally:
            frozen_redis.resume()


@pytest.fixture
def frozen_redis() -> Iterator[RunningServer]:
    with start_redis() as redis:
        yield redis
