"""Which offsets may be committed: pure bookkeeping of what is between `poll` and `commit`.

Each partition has its records in a queue, in order. A record leaves only from the head, once it has an
outcome; so what is published is in order, and a committed offset never passes a record without one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from consumers.kafka.records import Outgoing, Received, Scored


class Partition(NamedTuple):
    """A partition of an input topic. Equal to kafka-python's `TopicPartition`."""

    topic: str
    partition: int


@dataclass(slots=True, eq=False)
class PendingRecord:
    """One record under way. `outcomes` are what is to be published for it, None while that is unknown."""

    received: Received
    outcomes: tuple[Outgoing, ...] | None = None
    scored: Scored | None = None
    dropped: bool = False
    partition: Partition = field(init=False)

    def __post_init__(self) -> None:
        self.partition = Partition(self.received.topic, self.received.partition)


@dataclass(slots=True)
class CommitBatch:
    """What is published and committed together: each entry's outcomes, and what is `added` to them.

    `remembered` are state records: that all of this was published. Where there are no transactions they go
    out after it, or a crash in between would have the next run believe so. `offsets` are those of the next
    record to consume.
    """

    records: list[PendingRecord] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    added: list[Outgoing] = field(default_factory=list)
    remembered: list[Outgoing] = field(default_factory=list)

    @property
    def outgoing(self) -> Iterator[Outgoing]:
        for entry in self.records:
            yield from entry.outcomes or ()
        yield from self.added


class OffsetTracker:
    """The records under way of all partitions that this member owns, bounded in two ways.

    `most` bounds all of them, `most_per_partition` those of one, so that a partition whose head is slow
    leaves room for the others. The bounds may be passed by what one poll brings.
    """

    def __init__(self, *, most: int, most_per_partition: int) -> None:
        self._queues: dict[Partition, deque[PendingRecord]] = {}
        self._most: Final = most
        self._most_per_partition: Final = most_per_partition
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, received: Received) -> PendingRecord:
        """Take a record in. Within a partition, in the order of their offsets."""
        entry = PendingRecord(received)
        self._queues.setdefault(entry.partition, deque()).append(entry)
        self._count += 1
        return entry

    def full(self, partition: Partition) -> bool:
        """Whether nothing more should be fetched from this partition for now."""
        queue = self._queues.get(partition, ())
        return self._count >= self._most or len(queue) >= self._most_per_partition

    def finished(self, *, most: int) -> CommitBatch:
        """At most `most` records that have an outcome and none without one before them, with their offsets.

        They stay in the window until `settle`: if the round fails they are still here.
        """
        found = CommitBatch()
        for partition, queue in self._queues.items():
            for entry in queue:
                if entry.outcomes is None or len(found.records) >= most:
                    break
                found.records.append(entry)
                found.offsets[partition] = entry.received.offset + 1
        return found

    def settle(self, done: CommitBatch) -> None:
        """A round is published and committed: its records leave the window."""
        for entry in done.records:
            if not entry.dropped:
                self._queues[entry.partition].popleft()
                self._count -= 1

    def drop(self, partitions: Iterable[Partition]) -> int:
        """Forget partitions that another member owns now; how many records under way were dropped.

        Nothing of them was committed, so their new owner takes them up again.
        """
        dropped = 0
        for partition in partitions:
            for entry in self._queues.pop(Partition(*partition), ()):
                entry.dropped = True
                dropped += 1
        self._count -= dropped
        return dropped

    def pending(self, partition: Partition) -> int:
        """How many records of this partition are under way."""
        return len(self._queues.get(partition, ()))
