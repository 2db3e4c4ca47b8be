"""The header of a context, and the types of what is traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# HTTP and Kafka header of a context (W3C Trace Context).
TRACEPARENT: Final = "traceparent"
# The attribute of a task: its time on the queue, in milliseconds.
QUEUE_WAIT_MS: Final = "evzone.queue_wait_ms"
# The headers of a Kafka record.
Headers = Sequence[tuple[str, bytes | None]]
Attributes = dict[str, str | int | float | bool]
