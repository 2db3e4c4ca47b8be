"""An admin port answers whatever its clients do."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest

from admin_port import MAX_CLIENTS, AdminPort, Health
from tests.processes import free_port, settings_for, wait_until

READY = Health(True, True, {"models": ("ok", "failure 3")})
PAUSED = Health(False, False, {"consumer": ("down", "Redis cannot be reached")})


class Program:
    """An admin port with a health that tests set."""

    def __init__(self, port: int) -> None:
        self.health = READY
        self.number = port
        self.url = f"http://127.0.0.1:{port}"
        settings = replace(settings_for("redis://127.0.0.1:1/0"), admin_port=port)
        self.port = AdminPort(settings, lambda: self.health)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def program() -> Iterator[Program]:
    found = Program(free_port())
    found.port.start()
    wait_until(found.answers, what="the admin port")
    yield found
    found.port.close()


def test_health_is_200_also_if_the_program_is_not_ready(program: Program) -> None:
    program.health = PAUSED
    answer = httpx.get(f"{program.url}/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"] == {"consumer": {"status": "down", "detail": "Redis cannot be reached"}}


def test_ready_is_503_until_the_program_can_work(program: Program) -> None:
    program.health = PAUSED
    assert httpx.get(f"{program.url}/health/ready").status_code == 503
    program.health = READY
    assert httpx.get(f"{program.url}/health/ready").status_code == 200


def test_metrics_have_the_format_of_prometheus(program: Program) -> None:
    answer = httpx.get(f"{program.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "process_resident_memory_bytes" in answer.text


@pytest.mark.owasp("API9", "the admin port has three paths and no other")
@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 501)])
def test_there_is_nothing_else(program: Program, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, f"{program.url}{path}")
    assert answer.status_code == status
    assert "Python" not in answer.headers["server"]


def test_a_health_that_raises_costs_its_request_only(program: Program) -> None:
    program.health = None  # type: ignore[assignment]  # an error that nobody thought of
    assert httpx.get(f"{program.url}/health").status_code == 500
    program.health = READY
    assert httpx.get(f"{program.url}/health").status_code == 200


def test_a_file_that_is_gone_is_no_client_that_is_gone(program: Program) -> None:
    class Unreadable:
        @property
        def ready(self) -> bool:
            raise FileNotFoundError("a metric file")

    program.health = Unreadable()  # type: ignore[assignment]  # as a health that reads files
    assert httpx.get(f"{program.url}/health/ready").status_code == 500


@pytest.mark.owasp("API4", "silent clients do not block the admin port")
def test_clients_that_say_nothing_do_not_keep_others_out(program: Program) -> None:
    """They use up all places until their time is over; then it answers again."""
    with ExitStack() as clients:
        for _ in range(MAX_CLIENTS * 2):
            clients.enter_context(socket.create_connection(("127.0.0.1", program.number)))
        wait_until(program.answers, what="an answer beside silent clients")


def test_a_busy_port_is_taken_when_it_is_free(program: Program) -> None:
    """As a process of the same web server does after another has ended."""
    second = Program(program.number)
    second.health = PAUSED
    second.port.start()
    program.port.close()
    wait_until(second.answers, what="the second")
    assert httpx.get(f"{second.url}/health").json()["status"] == "degraded"
    second.port.close()


def test_a_forked_child_does_not_hold_the_port(program: Program) -> None:
    server = program.port._server
    assert server is not None
    child = os.fork()
    if not child:
        os._exit(0 if server.socket.fileno() == -1 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_port_0_is_off() -> None:
    program = Program(0)
    program.port.start()
    assert program.port._server is None
    program.port.close()
