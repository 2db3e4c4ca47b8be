"""`/system`: health, processes, queues, memory, refused requests and dead letters."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tasks.monitoring import service_health
from tasks.monitoring.heartbeats import WorkerState
from web.console import host_figures
from web.console.pages import page_blueprint, render
from web.http.messages import Response
from web.http.roles import needs
from web.http.services import services

blueprint = page_blueprint("system")

# By `tasks/messaging/names.py`.
QUEUES: Final = {
    "ml.single": "single predictions",
    "ml.batch": "batch jobs",
    "ml.stream": "readings from Kafka",
    "ml.notify": "events for webhooks",
}
# Setting -> its meaning. 0 is no limit.
LIMITS: Final = {
    "ML_TENANT_READINGS_PER_SECOND": "single predictions a second of each tenant",
    "ML_TENANT_JOBS": "open jobs of each tenant",
    "ML_TENANT_JOB_BYTES": "bytes of jobs and results of each tenant",
    "ML_TENANT_ROWS": "rows of open jobs of each tenant",
    "WEB_MAX_REQUESTS_BY_ADDRESS": "open requests of one address",
    "ML_MAX_WAITING": "predictions that wait for a worker, in each web process",
    "WEB_MAX_CONNECTIONS": "connections of each web process",
}


class Queue(NamedTuple):
    """A queue: its name, its tasks, and how long the oldest of them has waited, in seconds."""

    name: str
    meaning: str
    length: int
    oldest_s: float
    readers: int


@blueprint.get("/system")
@needs("read")
def show_system() -> Response:
    """Is the service well, and what does it consist of?"""
    held = services()
    snapshot = held.monitor.snapshot
    figures = host_figures.read(held.monitor)
    return render(
        "system.html",
        health=held.health().document(),
        workers=[_worker(each) for each in snapshot.workers],
        consumers=service_health.living_consumers(held.redis),
        queues=_queues(snapshot),
        memory=snapshot.memory,
        shortage=snapshot.shortage,
        webhooks=snapshot.webhooks,
        figures=figures,
        dead_letters=figures.parts(host_figures.DEAD_LETTERS),
        dead_letter_topic=held.settings.kafka_topic_dead_letters,
        flower_port=held.settings.flower_port,
        limits=_limits(),
        most_offset_s=service_health.MAX_CLOCK_OFFSET_S,
    )


def _worker(state: WorkerState) -> dict[str, Any]:
    name, _, host = state.name.partition("@")
    return {
        "name": name,
        "host": host or "–",
        "pid": state.pid,
        "queues": state.queues,
        "models": [f"{each['name']} {each['version']}" for each in state.models],
        "problem": state.problem,
        "clock_offset_s": state.clock_offset_s,
        "seen_at": state.seen_at,
    }


def _queues(snapshot: service_health.Snapshot) -> list[Queue]:
    return [
        Queue(
            name,
            QUEUES.get(name, ""),
            length,
            snapshot.oldest_s.get(name, 0.0),
            sum(name in worker.queues for worker in snapshot.workers),
        )
        for name, length in snapshot.queue_lengths.items()
    ]


def _limits() -> list[tuple[str, str, int]]:
    settings = services().settings
    tenants = settings.tenant_limits
    values = (
        tenants.readings_per_second,
        tenants.jobs,
        tenants.job_bytes,
        tenants.rows,
        settings.web_max_requests_by_address,
        settings.max_waiting,
        settings.web_max_connections,
    )
    return [(name, meaning, value) for (name, meaning), value in zip(LIMITS.items(), values, strict=True)]
