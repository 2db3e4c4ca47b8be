"""Names of queues and tasks, shared by web, workers and consumers."""

from __future__ import annotations

from typing import Final

# Releases N and N-1 can read each other's messages. A message carries the lowest schema that can read it. A
# number above `NEWEST_SCHEMA` is refused. Schema 2 added readings in columns (tasks/messaging/messages.py).
SCHEMA_VERSION: Final = 1
NEWEST_SCHEMA: Final = 2

# The process of a stream's score task is killed after this time. Tasks of single predictions carry a shorter
# limit, within their caller's deadline.
SCORE_HARD_LIMIT_S: Final = 15


class Queues:
    """One queue and one worker per level of urgency, so that batch jobs never delay single requests.

    The batch workers read `NOTIFY` too (docs/adr/0019).
    """

    SINGLE: Final = "ml.single"
    BATCH: Final = "ml.batch"
    STREAM: Final = "ml.stream"
    NOTIFY: Final = "ml.notify"


# If processors are scarce, singles take precedence over the stream, and the stream over batch jobs.
NICENESS: Final = {Queues.SINGLE: 0, Queues.STREAM: 5, Queues.BATCH: 10}


class TaskNames:
    """Names of the Celery tasks; stable across releases."""

    SCORE: Final = "ml.score"
    SCORE_CHUNK: Final = "ml.score_chunk"
    VERIFY: Final = "ml.verify"
    ERASE: Final = "ml.erase"
    DELIVER: Final = "ml.deliver"
