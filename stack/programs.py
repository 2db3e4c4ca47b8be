"""What the service consists of when it runs: every process with its command line.

The commands are ordinary ones. On a fleet of hosts the same lines go into units, containers or charts; one
process of each kind is the least, and all but the embedded servers may run as often as wanted.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from settings import ROOT, Settings
from stack.servers import LOOPBACK, kafka_command, redis_command
from tasks.messaging.names import Queues

# A worker of its own for each queue: a fleet job never delays a single request.
QUEUES: Final = {"single": Queues.SINGLE, "batch": Queues.BATCH, "stream": Queues.STREAM}
# Processes of a worker, where it is not one. Two share a job that somebody waits for, and a large one leaves
# one of them to others (docs/adr/0009).
PROCESSES: Final = {Queues.BATCH: 2}

FLOWER_MAX_TASKS: Final = 5_000  # its default, 100,000, costs hundreds of MB
FLOWER_PURGE_OFFLINE_S: Final = 60
FLOWER_COLUMNS: Final = "name,routing_key,state,worker,received,started,runtime,uuid"  # the key is the queue


@dataclass(frozen=True, slots=True)
class Program:
    """One process to run. `group` is the order of stopping: what serves others stops last.

    `stop_wait_s` is how long it may finish what it has begun before it is killed.
    """

    name: str
    command: list[str]
    group: Literal["servers", "service"] = "service"
    directory: Path = ROOT
    environment: dict[str, str] = field(default_factory=dict)
    stop_wait_s: int = 20


def programs(settings: Settings) -> list[Program]:
    """Every program of a complete service on this machine, embedded servers first."""
    found = []
    if settings.redis_embedded:
        folder = settings.state_dir / "redis"
        found.append(Program("redis", redis_command(settings.redis_port, folder), group="servers"))
    if settings.kafka_embedded:
        # It keeps nothing, so there is nothing to wait for; asked politely it waits for its clients to go.
        command = kafka_command(settings.kafka_port)
        found.append(Program("kafka", command, group="servers", stop_wait_s=1))
    found.append(_web(settings))
    found.extend(_worker(name, queue, settings) for name, queue in QUEUES.items())
    found.append(Program("consumer", [sys.executable, "-m", "consumers"], environment=_ours(settings)))
    if settings.ocpp_wanted:
        command = [sys.executable, "-m", "consumers", "ocpp"]
        found.append(Program("ocpp", command, environment=_ours(settings)))
    found.append(_flower(settings))
    return found


def shared_environment(settings: Settings) -> dict[str, str]:
    """What all processes get on top of the caller's environment."""
    return {
        # One row is scored faster by one thread than by several that wait for each other.
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        # A person opens these files; a setting that is not `auto` stays.
        "LOG_FORMAT": "text" if settings.log_format == "auto" else settings.log_format,
        # By this name Flower reads it itself, and no command line shows it.
        "FLOWER_BASIC_AUTH": settings.flower_basic_auth,
    }


def metrics_folder(settings: Settings) -> Path:
    """Where the counters of all our processes on this host meet; /metrics adds them up."""
    return settings.state_dir / "prometheus"


def log_file(settings: Settings, program: str) -> Path:
    return settings.state_dir / "log" / f"{program}.log"


def _ours(settings: Settings) -> dict[str, str]:
    # Not for Flower: its own metrics would come out at our /metrics.
    return {"PROMETHEUS_MULTIPROC_DIR": str(metrics_folder(settings))}


def _web(settings: Settings) -> Program:
    # No --backpressure: granian counts idle keep-alive connections as well; below its backlog (1024) pooled
    # clients that do nothing would lock everyone else out. The service itself refuses what is too much.
    command = [
        *(sys.executable, "-m", "granian", "asgi:app", "--interface", "asginl", "--http", "1", "--no-ws"),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--workers", str(settings.web_processes)),
        *("--respawn-failed-workers", "--respawn-interval", "0.5", "--workers-kill-timeout", "10"),
        *("--no-access-log", "--log-level", settings.log_level.lower()),
    ]
    return Program("web", command, environment=_ours(settings))


def _worker(name: str, queue: str, settings: Settings) -> Program:
    # Gossip and mingle are for workers that need to know of each other; these do not.
    command = [
        *(sys.executable, "-m", "celery", "-A", "tasks.worker.app", "worker"),
        *("-Q", queue, "-n", f"{name}@%h"),
        *("-P", "prefork", "-c", str(PROCESSES.get(queue, 1)), "--without-gossip", "--without-mingle"),
        *("--loglevel", settings.log_level),
    ]
    return Program(f"worker-{name}", command, environment=_ours(settings))


def _flower(settings: Settings) -> Program:
    # Broker and password (above) travel in the environment, for command lines are public on a host. Without
    # -A, and away from celeryconfig.py, it loads none of our code: it learns names, queues and states from
    # events alone, which saves it the models' memory. It is read-only and answers this host only, because
    # its API could otherwise run any task. It steps back: who waits for a prediction would wait for all the
    # events that it reads (docs/adr/0004).
    command = [
        *("nice", "-n", "10", sys.executable, "-m", "celery", "flower", "--read_only=true"),
        *(f"--address={LOOPBACK}", f"--port={settings.flower_port}"),
        *(f"--max_tasks={FLOWER_MAX_TASKS}", f"--purge_offline_workers={FLOWER_PURGE_OFFLINE_S}"),
        f"--tasks_columns={FLOWER_COLUMNS}",
    ]
    return Program(
        "flower",
        command,
        directory=settings.state_dir,
        environment={"BROKER_URL": settings.redis_url},
        stop_wait_s=3,  # it has nothing to finish
    )
