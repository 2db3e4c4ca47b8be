"""Check that every port of `make run` is free, before anything starts."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from admin_port import DEFAULT_PORT
from settings import Settings
from stack.servers import LOOPBACK

# The programs with an admin port, in the order of their ports.
WITH_ADMIN_PORT: Final = ("web", "worker-single", "worker-batch", "worker-stream", "consumer", "ocpp")
HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class PortUse:
    """A port to bind, its setting, and an alternative to a free port."""

    setting: str
    host: str
    port: int
    otherwise: str = ""


def port_uses(settings: Settings) -> list[PortUse]:
    """Return every port that this machine's processes will listen on."""
    uses = [
        PortUse("PORT", settings.host, settings.port),
        PortUse("FLOWER_PORT", LOOPBACK, settings.flower_port),
    ]
    if settings.redis_embedded:
        instead = f"REDIS_URL=redis://{LOOPBACK}:{settings.redis_port}/0 to use the Redis that runs there"
        uses.append(PortUse("REDIS_PORT", LOOPBACK, settings.redis_port, instead))
    if settings.kafka_embedded:
        instead = f"KAFKA_BOOTSTRAP_SERVERS={LOOPBACK}:{settings.kafka_port} to use the Kafka that runs there"
        uses.append(PortUse("KAFKA_PORT", LOOPBACK, settings.kafka_port, instead))
    if settings.admin_port:
        uses += [
            PortUse("ADMIN_PORT", settings.admin_host, port, "ADMIN_PORT= for the next free ones")
            for port in admin_ports(settings).values()
        ]
    return uses


def admin_ports(settings: Settings) -> dict[str, int]:
    """Return the admin port of each program: the next free ones if `ADMIN_PORT` is absent, or 0 for none."""
    names = [name for name in WITH_ADMIN_PORT if settings.ocpp_wanted or name != "ocpp"]
    if settings.admin_port is not None:
        return {
            name: settings.admin_port and settings.admin_port + WITH_ADMIN_PORT.index(name) for name in names
        }
    free = _free_ports(settings)
    return {name: next(free, 0) for name in names}


def _free_ports(settings: Settings) -> Iterator[int]:
    asked_for = {use.port for use in port_uses(settings)}
    for port in range(DEFAULT_PORT, HIGHEST_PORT):
        if port not in asked_for and _problem(PortUse("ADMIN_PORT", settings.admin_host, port)) is None:
            yield port


def port_problems(uses: list[PortUse]) -> list[str]:
    """Return one line for each port that cannot be bound. Binds each port for a moment."""
    problems = []
    for port, count in Counter(use.port for use in uses).items():
        if count > 1:
            names = " and ".join(use.setting for use in uses if use.port == port)
            problems.append(f"Port {port} is asked for twice (settings {names}): each needs its own.")
    return problems or [problem for use in uses if (problem := _problem(use))]


def _problem(use: PortUse) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            use.host, use.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do. Otherwise closed connections of the last run would make the port appear busy.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (socket.gaierror, UnicodeError):
        return f"HOST={use.host} is not an address of this machine."
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            otherwise = f", or {use.otherwise}" if use.otherwise else ""
            return (
                f"Port {use.port} is busy (setting {use.setting}): another program listens there. Stop it, "
                f"or set another port in .env or in front of the command, like {use.setting}={use.port + 1} "
                f"make run{otherwise}."
            )
        if error.errno == errno.EADDRNOTAVAIL:
            return f"HOST={use.host} is not an address of this machine."
        return f"Port {use.port} (setting {use.setting}) cannot be opened: {error.strerror}."
    return None
