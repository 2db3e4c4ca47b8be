"""Check that every port of `make run` is free, before anything starts."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from dataclasses import dataclass

from settings import Settings
from stack.servers import LOOPBACK


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
    return uses


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
