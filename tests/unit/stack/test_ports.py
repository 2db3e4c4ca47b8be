"""Busy ports are told by name of the setting, before anything starts."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from stack.ports import PortUse, port_problems


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_busy_port_names_port_and_setting(busy_port: int) -> None:
    [problem] = port_problems([PortUse("PORT", "127.0.0.1", busy_port)])
    assert problem.startswith(f"Port {busy_port} is busy (setting PORT): ")


def test_busy_port_is_seen_on_all_addresses_too(busy_port: int) -> None:
    [problem] = port_problems([PortUse("PORT", "0.0.0.0", busy_port)])  # noqa: S104
    assert "is busy" in problem


def test_busy_server_port_offers_to_use_that_server(busy_port: int) -> None:
    [problem] = port_problems([PortUse("REDIS_PORT", "127.0.0.1", busy_port, "REDIS_URL=… to use it")])
    assert problem.endswith("or REDIS_URL=… to use it.")


def test_every_problem_is_told(busy_port: int) -> None:
    problems = port_problems(
        [PortUse("PORT", "127.0.0.1", busy_port), PortUse("FLOWER_PORT", "192.0.2.1", busy_port + 1)]
    )
    assert ["busy" in problem for problem in problems] == [True, False]


def test_one_port_for_two_processes_names_both_settings() -> None:
    [problem] = port_problems([PortUse("PORT", "127.0.0.1", 8000), PortUse("KAFKA_PORT", "127.0.0.1", 8000)])
    assert "PORT and KAFKA_PORT" in problem


@pytest.mark.parametrize("host", ["192.0.2.1", "no..name"])
def test_foreign_address_names_the_host_setting(host: str) -> None:
    assert port_problems([PortUse("PORT", host, 0)]) == [f"HOST={host} is not an address of this machine."]


def test_free_port_is_no_problem() -> None:
    assert port_problems([PortUse("PORT", "127.0.0.1", 0)]) == []
