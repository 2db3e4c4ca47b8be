"""What not to fetch, or not to work on, because processes have died of it. Pure, but for the journal.

A death while several partitions were fetched says only that the record is at one of these places. From the
second death on, each suspected place is fetched alone, so that a third one is attributed to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from consumers.crash_journal import MOST_DEATHS, CrashJournal
from consumers.offsets import Partition

ALONE_AFTER_DEATHS: Final = 2
# A place that was fetched from for so long without harm, and without a record, is not suspected any more.
HARMLESS_AFTER_S: Final = 2.0


class Quarantine:
    """For one life of the loop and one thread. `positions` are the next offsets to fetch."""

    def __init__(self, journal: CrashJournal) -> None:
        self._journal = journal
        self._suspects: dict[Partition, tuple[int, int]] = {}
        self._fetched_since: dict[Partition, float] = {}
        self.reload()

    def reload(self) -> None:
        """Learn of deaths that other processes have counted: their partitions may have come here."""
        self._journal.reload()
        self._suspects = {}
        for place, deaths in self._journal.suspects().items():
            topic, partition, offset = place.rsplit(":", 2)
            self._suspects[Partition(topic, int(partition))] = int(offset), deaths

    @property
    def suspected(self) -> frozenset[Partition]:
        """Those of which it matters where they stand."""
        return frozenset(self._suspects)

    def look(self, positions: Mapping[Partition, int], now: float) -> Partition | None:
        """The partition to fetch alone, None for all. `now` in seconds."""
        for partition, (offset, deaths) in list(self._suspects.items()):
            position = positions.get(partition)
            if position is None:
                continue
            since = self._fetched_since.setdefault(partition, now)
            if position > offset or (deaths < MOST_DEATHS and now - since > HARMLESS_AFTER_S):
                self._release(partition, offset)
            elif deaths >= ALONE_AFTER_DEATHS:
                return partition
        return None

    def condemned(self, positions: Mapping[Partition, int]) -> list[tuple[Partition, int]]:
        """Places whose record must not be fetched again, with their offsets: those that are next."""
        return [
            (partition, offset)
            for partition, (offset, deaths) in self._suspects.items()
            if deaths >= MOST_DEATHS and positions.get(partition) == offset
        ]

    def _release(self, partition: Partition, offset: int) -> None:
        del self._suspects[partition]
        self._fetched_since.pop(partition, None)
        self._journal.forget([f"{partition.topic}:{partition.partition}:{offset}"])
