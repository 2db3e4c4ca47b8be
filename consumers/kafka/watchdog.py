"""Detect that the client library has stopped fetching although records are available. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from consumers.kafka.offsets import Partition
from errors import ServiceError

FROZEN_MOST_S: Final = 60.0


class StreamStuck(ServiceError):
    """Raised if a partition's position does not advance to its end. Only a new process reliably helps."""

    code = "stream_stuck"


class Watchdog:
    """Tracks the positions of all partitions that should be fetched."""

    def __init__(self) -> None:
        self._seen: dict[Partition, tuple[int, float]] = {}

    def look(self, standing: Iterable[tuple[Partition, int, int]], now: float) -> None:
        """Record `(partition, position, end)` of all partitions that are not paused; `now` in seconds.

        Raises `StreamStuck` if a position has been before its end and unchanged for `FROZEN_MOST_S`.
        """
        seen: dict[Partition, tuple[int, float]] = {}
        for partition, position, end in standing:
            if position >= end:
                continue
            before = self._seen.get(partition)
            since = before[1] if before is not None and before[0] == position else now
            if now - since >= FROZEN_MOST_S:
                raise StreamStuck(
                    f"Partition {partition.partition} of {partition.topic} has stood at {position} of {end} "
                    f"for {now - since:.0f} s."
                )
            seen[partition] = (position, since)
        self._seen = seen
