"""Names of queues, tasks and the keys shared by web, workers and consumer, in one place."""

from __future__ import annotations

from typing import Final

# Releases N and N-1 understand each other's messages. A message tells the lowest schema that reads it, and
# one with a higher number than `NEWEST_SCHEMA` is refused: 2 knows readings in columns (tasks/messages.py).
SCHEMA_VERSION: Final = 1
NEWEST_SCHEMA: Final = 2


class Queues:
    """One queue, and one worker, for each kind of urgency: a fleet job never delays a single request."""

    SINGLE: Final = "ml.single"
    BATCH: Final = "ml.batch"
    STREAM: Final = "ml.stream"


class TaskNames:
    SCORE: Final = "ml.score"
    SCORE_CHUNK: Final = "ml.score_chunk"
    VERIFY: Final = "ml.verify"


def tenant_prefix(tenant: str | None) -> str:
    """`ml:` for everybody's keys, `ml:tenant:{t}:` for a tenant's."""
    return f"ml:tenant:{tenant}:" if tenant else "ml:"
