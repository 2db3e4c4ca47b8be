"""The header of a context, and the types of what is traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# HTTP and Kafka header of a context (W3C Trace Context).
TRACEPARENT: Final = "traceparent"
# The headers of a Kafka record.
Headers = Sequence[tuple[str, bytes | None]]
Attributes = dict[str, str | int | bool]
