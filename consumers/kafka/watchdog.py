"""Noticing that the client library has stopped fetching although there is something to fetch. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from consumers.kafka.offsets import Partition
from errors import ServiceError

FROZEN_MOST_S: Final = 60.0


class StreamStuck(ServiceError):
    """Raised when a partition's position stands still before its end. Only a new process is sure to help."""

    code = "stream_stuck"


class Watchdog:
    """Told each second where every partition that should be fetched stands."""

    def __init__(self) -> None:
        self._seen: dict[Partition, tuple[int, float]] = {}

    def look(self, standing: Iterable[tuple[Partition, int, int]], now: float) -> None:
        """Take note of `(partition, position, end)` of those not paused; `now` in seconds.

        Raises `StreamStuck` when one has been short of its end and unmoved for `FROZEN_MOST_S`.
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
