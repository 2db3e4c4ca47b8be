"""Settings of the Celery workers, each with its reason. Celery loads this module by its name.

Values that differ between installations come from `settings`.
"""

from __future__ import annotations

from typing import Final

from kombu import Exchange, Queue

import keepalive
from settings import load_or_exit
from tasks.messaging.names import SCORE_HARD_LIMIT_S, Queues, TaskNames

# A chunk takes about 0.25 s, a step of an erasure at most 15 s. A process that needs this long hangs, and is
# killed. A row that hangs costs this four times (tasks/worker/suspect_rows.py).
CHUNK_HARD_LIMIT_S: Final = 30
VERIFY_SOFT_LIMIT_S: Final = 10
# Time until redelivery of an unacknowledged task. A limit below a task's time limit would run it twice.
VISIBILITY_TIMEOUT_S: Final = 120

broker_url = load_or_exit().redis_url
# A worker without Redis retries forever.
broker_connection_max_retries = None
broker_connection_retry_on_startup = True
# Nor does one end when Redis refuses a command, as while it is read-only or out of memory.
broker_channel_error_retry = True
broker_transport_options = {
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    # Search for unacknowledged tasks of dead workers every 5 s (kombu's default: 100 s).
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_keepalive": True,
    "socket_keepalive_options": keepalive.TCP_OPTIONS,
    "socket_connect_timeout": 2,
    # A worker waits for ever by default for the reply to a command on a dead connection.
    "socket_timeout": 2,
    # A connection is dropped after 3 to 5 s without a reply.
    "health_check_interval": 2,
}

# JSON only: a message is data, never code.
accept_content = ["json"]
# Messages that are no tasks of ours are refused. Celery's own consumer ends at some of them.
worker_consumer = "tasks.worker.intake:TaskConsumer"
task_serializer = "json"
enable_utc = True

imports = (
    "tasks.worker.score",
    "tasks.worker.score_chunk",
    "tasks.worker.verify",
    "tasks.worker.erase",
    "tasks.worker.lost",
    "tasks.worker.deliver_events",
)
# No result backend: scores are sent over reply lists (docs/adr/0002), and jobs store their own state.
task_ignore_result = True
# For Flower: tasks by name, queue and state. tasks/messaging/task_publisher.py publishes the sent events.
worker_send_task_events = True
task_track_started = True

task_default_queue = Queues.SINGLE
task_create_missing_queues = True
# Single tasks need no acknowledgement. It costs two round trips a task, and redelivers after two minutes.
# Callers of single predictions wait only seconds; the web process resends a lost task.
task_queues = [
    Queue(Queues.SINGLE, Exchange(Queues.SINGLE), routing_key=Queues.SINGLE, no_ack=True),
    Queue(Queues.BATCH, Exchange(Queues.BATCH), routing_key=Queues.BATCH),
    Queue(Queues.STREAM, Exchange(Queues.STREAM), routing_key=Queues.STREAM),
    # The outbox in Redis is the record: a lost task is sent again within a second.
    Queue(Queues.NOTIFY, Exchange(Queues.NOTIFY), routing_key=Queues.NOTIFY, no_ack=True),
]
task_annotations = {
    # No soft limits for scoring: a soft limit would replace the hard limit of a message. It cannot interrupt
    # native code, and in Python code it would look like the error of a reading.
    TaskNames.SCORE: {"time_limit": SCORE_HARD_LIMIT_S},
    TaskNames.VERIFY: {"soft_time_limit": VERIFY_SOFT_LIMIT_S, "time_limit": SCORE_HARD_LIMIT_S},
    TaskNames.SCORE_CHUNK: {"time_limit": CHUNK_HARD_LIMIT_S},
    TaskNames.ERASE: {"time_limit": CHUNK_HARD_LIMIT_S},
    # It starts a thread, and ends.
    TaskNames.DELIVER: {"time_limit": CHUNK_HARD_LIMIT_S},
}

# Other workers cannot take a reserved task: reserve one at a time.
worker_prefetch_multiplier = 1
# A child that replaces another is killed if it has not started after this time (Celery's default: 4 s). On a
# busy host it loads models for longer. Each replacement would be killed, and the worker take no task again.
worker_proc_alive_timeout = 60
worker_disable_prefetch = True
worker_max_tasks_per_child = 100_000
# Running tasks have 20 s to finish; then they return to the queue.
worker_soft_shutdown_timeout = 20
worker_enable_soft_shutdown_on_idle = True
worker_cancel_long_running_tasks_on_connection_loss = False
worker_hijack_root_logger = False
