"""Processes of the running service, with their command lines.

The commands are ordinary ones. On a fleet of hosts they go into units, containers or charts. At least one
process of each kind is needed. All except the embedded servers can run any number of times.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from process import connections_allowed
from settings import ROOT, Settings
from stack.servers import kafka_command, redis_command
from tasks.messaging.names import Queues

# One worker for each queue, so that a fleet job never delays a single request.
QUEUES: Final = {"single": Queues.SINGLE, "batch": Queues.BATCH, "stream": Queues.STREAM}
# Files and folders in the state folder, of this package and of the programs.
OWN_FOLDERS: Final = ("consumers", "log", "prometheus", "redis")
OWN_FILES: Final = ("run.lock", "supervisord.conf", "supervisord.pid")
# Processes of a worker; default 1. Two processes share a job with a waiting caller; a large job leaves one of
# them to other jobs (docs/adr/0009).
PROCESSES: Final = {Queues.BATCH: 2}

# Connections that the kernel holds until the web process accepts them.
BACKLOG: Final = 2_048
# The buffer of each connection, 400 kB by default. granian answers 431 to headers that outgrow it.
# It may hold twice as much.
HEADER_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Program:
    """A process to run. `group` is the order of stopping: servers stop last.

    `stop_wait_s`: seconds to finish started work before it is killed.
    """

    name: str
    command: list[str]
    group: Literal["servers", "service"] = "service"
    directory: Path = ROOT
    environment: dict[str, str] = field(default_factory=dict)
    stop_wait_s: int = 20


def programs(settings: Settings, admin_ports: Mapping[str, int] | None = None) -> list[Program]:
    """Return every program of a complete service on this machine, embedded servers first.

    `admin_ports` by program; one that is left out has none.
    """
    found = []
    if settings.redis_embedded:
        folder = settings.state_dir / "redis"
        found.append(Program("redis", redis_command(settings.redis_port, folder), group="servers"))
    if settings.kafka_embedded:
        # It stores nothing, so it may be killed. On SIGTERM it would wait for its clients to disconnect.
        command = kafka_command(settings.kafka_port)
        found.append(Program("kafka", command, group="servers", stop_wait_s=1))
    found.append(_web(settings))
    found.extend(_worker(name, queue, settings) for name, queue in QUEUES.items())
    found.append(Program("consumer", [sys.executable, "-m", "consumers"]))
    if settings.ocpp_wanted:
        command = [sys.executable, "-m", "consumers", "ocpp"]
        found.append(Program("ocpp", command))
    for program in found:
        if program.group == "service":
            program.environment.update(_ours(settings, (admin_ports or {}).get(program.name, 0)))
    found.append(_flower())
    return found


def shared_environment(settings: Settings) -> dict[str, str]:
    """Return the variables of all processes, in addition to the caller's environment."""
    return {
        # One thread scores one row faster than several threads that synchronise.
        "OMP_NUM_THREADS": "1",
        # glibc else gives threads heaps of their own, which fill up with gaps: a web server with 21 threads
        # grew by 10 to 35 MB an hour.
        "MALLOC_ARENA_MAX": "2",
        "PYTHONUNBUFFERED": "1",
        # People read these files. An explicit setting is kept.
        "LOG_FORMAT": "text" if settings.log_format == "auto" else settings.log_format,
    }


def metrics_folder(settings: Settings) -> Path:
    """Return the folder of the metric files of all processes on this host. /metrics aggregates them."""
    return settings.state_dir / "prometheus"


def log_file(settings: Settings, program: str) -> Path:
    """Return the path of a program's log."""
    return settings.state_dir / "log" / f"{program}.log"


def _ours(settings: Settings, admin_port: int) -> dict[str, str]:
    # Not for Flower: its metrics would appear in the service's /metrics.
    return {"PROMETHEUS_MULTIPROC_DIR": str(metrics_folder(settings)), "ADMIN_PORT": str(admin_port)}


def _web(settings: Settings) -> Program:
    command = [
        *(sys.executable, "-m", "granian", "asgi:app", *granian_options(settings)),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--workers", str(settings.web_processes)),
        *("--respawn-failed-workers", "--respawn-interval", "0.5", "--workers-kill-timeout", "10"),
        *("--no-access-log", "--log-level", settings.log_level.lower()),
        *tls_options(settings),
    ]
    return Program("web", command)


def tls_options(settings: Settings) -> list[str]:
    """Return the options of granian for the API's certificate; none without one."""
    if not settings.tls_certfile:
        return []
    files = ("--ssl-certificate", settings.tls_certfile, "--ssl-keyfile", settings.tls_keyfile)
    # Its default, tls1.3 alone, is not gunicorn's.
    return [*files, "--ssl-protocol-min", "tls1.2"]


def granian_options(settings: Settings) -> list[str]:
    """Return the options of granian by which slow and silent clients cannot keep others out.

    `--backpressure` counts connections, idle ones too. Clients that hang could take all of its default,
    1,024. The time-out covers a request's header and the idle time before it. granian has one timer for both,
    and starts it for `--http 1` only.
    """
    connections = connections_allowed(settings.web_max_connections)
    return [
        *("--interface", "asginl", "--http", "1", "--no-ws"),
        *("--backlog", str(BACKLOG), "--backpressure", str(connections)),
        *("--http1-header-read-timeout", str(round(settings.web_idle_timeout_s * 1000))),
        *("--http1-buffer-size", str(HEADER_BYTES)),
    ]


def _worker(name: str, queue: str, settings: Settings) -> Program:
    # Gossip and mingle synchronise workers with each other; these workers do not need it.
    command = [
        *(sys.executable, "-m", "celery", "-A", "tasks.worker.app", "worker"),
        *("-Q", queue, "-n", f"{name}@%h"),
        *("-P", "prefork", "-c", str(PROCESSES.get(queue, 1)), "--without-gossip", "--without-mingle"),
        *("--loglevel", settings.log_level),
    ]
    return Program(f"worker-{name}", command)


def _flower() -> Program:
    # Its settings are in flowerconfig.py. `nice`: reading events must not delay predictions (docs/adr/0004).
    command = ["nice", "-n", "10", sys.executable, "-m", "celery", "flower"]
    return Program("flower", command, stop_wait_s=3)  # it has no work to finish
