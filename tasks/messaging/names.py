"""Names of queues and tasks, shared by web, workers and consumer."""

from __future__ import annotations

from typing import Final

# Releases N and N-1 understand each other's messages. A message tells the lowest schema that reads it, and
# one with a higher number than `NEWEST_SCHEMA` is refused: 2 knows readings in columns
# (tasks/messaging/messages.py).
SCHEMA_VERSION: Final = 1
NEWEST_SCHEMA: Final = 2

# A score task that runs this long is killed. Only the stream's: tasks of single predictions bring a limit of
# their own, within their caller's deadline.
SCORE_HARD_LIMIT_S: Final = 15


class Queues:
    """One queue, and one worker, for each kind of urgency: a fleet job never delays a single request."""

    SINGLE: Final = "ml.single"
    BATCH: Final = "ml.batch"
    STREAM: Final = "ml.stream"


class TaskNames:
    SCORE: Final = "ml.score"
    SCORE_CHUNK: Final = "ml.score_chunk"
    VERIFY: Final = "ml.verify"
