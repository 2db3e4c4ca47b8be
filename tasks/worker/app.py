"""The Celery app of the workers: `celery -A tasks.worker.app worker -Q ml.single …`.

Processes that only ask for scores use `tasks/messaging/task_publisher.py` instead and never import this
module.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final

import billiard.pool
import kombu.serialization
import kombu.utils.json
import orjson
from celery import Celery, current_task
from celery.signals import (
    celeryd_after_setup,
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
)
from prometheus_client import multiprocess

from process import collect_garbage_seldom, configure_logging
from settings import load_or_exit
from tasks.messaging.names import Queues
from tasks.storage.redis_connection import refuse_eviction
from tasks.worker.events import PatientEvents
from tasks.worker.recovery import Recovery
from tasks.worker.runtime import Runtime, close_current, set_current

log = logging.getLogger(__name__)

settings = load_or_exit()
# A process that ends waits for its parent to read its last result. One that stops may read no more: Billiard
# gives that thirty seconds, longer than a worker has for its end. Tenths of a second.
LAST_RESULT_READ_WITHIN: Final = 50
# Where processors are scarce, a single request goes before a fleet.
BATCH_NICENESS: Final = 10

app = Celery("evzone-ml", events=PatientEvents)
# Kombu's decoder calls a Python function for each object, twice for each reading: in parent and child.
kombu.serialization.register("json", kombu.utils.json.dumps, orjson.loads, "application/json", "utf-8")
app.config_from_object("celeryconfig")

_name = "worker"
_queues: list[str] = []


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    configure_logging(settings, context=_task_context)


def _task_context() -> dict[str, Any]:
    """The ids of the task that runs now. They are read when a line is logged, so that tasks pay nothing."""
    if not current_task:
        return {}
    request = current_task.request
    message = request.args[0] if request.args else None
    chunk = message if isinstance(message, dict) else {}
    return {"task_id": request.id, "job_id": chunk.get("job_id"), "chunk": chunk.get("chunk")}


@celeryd_after_setup.connect
def _remember_name(sender: str, instance: Any, **_: Any) -> None:
    """In the parent, before it forks: the name and queues that its children report."""
    global _name, _queues
    refuse_eviction(settings)
    _name = sender
    _queues = sorted(instance.app.amqp.queues.consume_from)


@worker_process_init.connect
def _start(**_: Any) -> None:
    """In each child, after the fork: models are loaded and warmed before the first task."""
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_RESULT_READ_WITHIN
    runtime = Runtime(settings, _name, _queues)
    set_current(runtime)
    collect_garbage_seldom()
    if _queues == [Queues.BATCH]:
        os.nice(BATCH_NICENESS)
    if Queues.BATCH in _queues:
        runtime.every_beat(runtime.chunks.renew)
        runtime.every_beat(Recovery(runtime.redis, runtime.chunks).look)


@worker_process_shutdown.connect
def _stop(pid: int, **_: Any) -> None:
    close_current()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # untyped there
