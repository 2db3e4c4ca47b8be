"""Celery's settings for workers, each with its reason. Celery loads this module by its name.

Values that differ between installations come from `settings`.
"""

from __future__ import annotations

from typing import Final

from kombu import Exchange, Queue

from settings import load_or_exit
from tasks.messaging.names import SCORE_HARD_LIMIT_S, Queues, TaskNames

# A chunk is a quarter of a second's work; who is at it this long is killed.
CHUNK_HARD_LIMIT_S: Final = 60
VERIFY_SOFT_LIMIT_S: Final = 10
# Unacknowledged tasks come back after this long; longer than any task may run, or it would run twice.
VISIBILITY_TIMEOUT_S: Final = 120

broker_url = load_or_exit().redis_url
# A worker without Redis waits for it, for as long as it takes.
broker_connection_max_retries = None
broker_connection_retry_on_startup = True
broker_transport_options = {
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    # Unacknowledged tasks of dead workers are looked for every 5 s (kombu's default: 100 s).
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_keepalive": True,
    "socket_connect_timeout": 5,
    "health_check_interval": 10,
}

# JSON only: a message is data, never code.
accept_content = ["json"]
task_serializer = "json"
enable_utc = True

imports = ("tasks.worker.score", "tasks.worker.score_chunk", "tasks.worker.verify", "tasks.worker.lost")
# There is no result backend: scores travel on reply lists, and jobs keep their own record.
task_ignore_result = True
# Flower shows tasks by name, queue and state; tasks/messaging/task_publisher.py reports those that are sent.
worker_send_task_events = True
task_track_started = True

task_default_queue = Queues.SINGLE
task_create_missing_queues = True
# Kombu keeps a copy of each unacknowledged message, for two round trips a task, and gives it back after two
# minutes. Callers of single predictions wait for seconds; the web process sends a lost task again.
task_queues = [
    Queue(Queues.SINGLE, Exchange(Queues.SINGLE), routing_key=Queues.SINGLE, no_ack=True),
    Queue(Queues.BATCH, Exchange(Queues.BATCH), routing_key=Queues.BATCH),
    Queue(Queues.STREAM, Exchange(Queues.STREAM), routing_key=Queues.STREAM),
]
task_annotations = {
    # No soft limits: one would count in place of the hard one that a message brings, what hangs in
    # native code does not hear of it, and what does would take it for the fault of a reading.
    TaskNames.SCORE: {"time_limit": SCORE_HARD_LIMIT_S},
    TaskNames.VERIFY: {"soft_time_limit": VERIFY_SOFT_LIMIT_S, "time_limit": SCORE_HARD_LIMIT_S},
    TaskNames.SCORE_CHUNK: {"time_limit": CHUNK_HARD_LIMIT_S},
}

# A reserved task is one that no other worker can take: take one at a time.
worker_prefetch_multiplier = 1
worker_disable_prefetch = True
worker_max_tasks_per_child = 100_000
# Stop what runs within 20 s, then hand it back.
worker_soft_shutdown_timeout = 20
worker_enable_soft_shutdown_on_idle = True
worker_cancel_long_running_tasks_on_connection_loss = False
worker_hijack_root_logger = False
