"""The Celery app of the workers: `celery -A tasks.worker.app worker -Q ml.single …`.

Processes that only send tasks use `tasks/messaging/task_publisher.py` and never import this module.
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
    worker_ready,
)

import tracing
from admin_port import AdminPort
from process import collect_garbage_seldom, configure_logging, limit_memory
from settings import load_or_exit
from tasks.messaging.names import NICENESS, Queues
from tasks.storage import redis_clock
from tasks.storage.redis_connection import connect, refuse_eviction
from tasks.worker.events import PatientEvents
from tasks.worker.intake import use_for_redis
from tasks.worker.recovery import Recovery
from tasks.worker.runtime import Runtime, close_current, set_current
from tasks.worker.worker_health import worker_health

log = logging.getLogger(__name__)

settings = load_or_exit()
# In tenths of a second. A child that ends waits until its parent has read its last result, 30 s by default in
# Billiard. A parent that stops may read no more, and a worker must stop sooner than that.
LAST_RESULT_READ_WITHIN: Final = 50

app = Celery("evzone-ml", events=PatientEvents)
# Kombu's decoder calls a Python function per object, for each reading in parent and child.
kombu.serialization.register("json", kombu.utils.json.dumps, orjson.loads, "application/json", "utf-8")
app.config_from_object("celeryconfig")
use_for_redis()

_name = "worker"
_queues: list[str] = []


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    configure_logging(settings, context=_task_context)


def _task_context() -> dict[str, Any]:
    """The ids of the current task, read only when a line is logged, so that tasks have no extra cost."""
    if not current_task:
        return {}
    request = current_task.request
    message = request.args[0] if request.args else None
    chunk = message if isinstance(message, dict) else {}
    return {
        "task_id": request.id,
        "trace_id": tracing.current_trace_id(),
        "job_id": chunk.get("job_id"),
        "chunk": chunk.get("chunk"),
    }


@celeryd_after_setup.connect
def _remember_name(sender: str, instance: Any, **_: Any) -> None:
    """Store name and queues in the parent before it forks; the children report them and share its limits."""
    global _name, _queues
    refuse_eviction(settings)
    limit_memory(settings)
    _name = sender
    queues = instance.app.amqp.queues
    _queues = sorted(queues.consume_from)
    if Queues.BATCH in _queues:
        queues.select_add(queues[Queues.NOTIFY])


@worker_process_init.connect
def _start(**_: Any) -> None:
    """Start the runtime in each child, after the fork. Models are loaded and warm before the first task."""
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_RESULT_READ_WITHIN
    runtime = Runtime(settings, _name, _queues)
    set_current(runtime)
    tracing.start(settings, "worker")
    collect_garbage_seldom()
    os.nice(min(NICENESS[queue] for queue in _queues))
    if Queues.BATCH in _queues:
        runtime.every_beat(runtime.chunks.renew)
        runtime.every_beat(Recovery(runtime.redis, runtime.chunks).look)
        runtime.every_beat(runtime.erasures.send_due)
        runtime.every_beat(runtime.announcements.look)


@worker_ready.connect
def _start_threads(**_: Any) -> None:
    """Start the parent's threads after the first forks: a fork must not copy their locks."""
    redis_clock.follow(connect(settings.redis_url))
    AdminPort(settings, worker_health).start()


@worker_process_shutdown.connect
def _stop(**_: Any) -> None:
    close_current()
    tracing.stop()
