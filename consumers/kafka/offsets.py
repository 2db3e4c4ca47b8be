"""Track the records between `poll` and `commit`, and the offsets that may be committed. Pure.

Each partition has a queue of records in order. A record leaves only from the head, after it has an outcome.
Outcomes are therefore published in order, and a committed offset never passes a record without an outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import tracing
from consumers.kafka.records import Outgoing, Received, Scored, traced

if TYPE_CHECKING:
    from opentelemetry.trace import Span


# Ordinary readings fill a hundredth of it. A poll of the largest records adds twice as much.
MOST_BYTES: Final = 256_000_000


class Partition(NamedTuple):
    """A partition of an input topic. Equal to kafka-python's `TopicPartition`."""

    topic: str
    partition: int


@dataclass(slots=True, eq=False)
class PendingRecord:
    """One record in flight. `outcomes` are the records to publish for it, None until they are known.

    `taken_at` is the time of its `poll`, in the loop's clock. `span` is its span if it is traced.
    """

    received: Received
    outcomes: tuple[Outgoing, ...] | None = None
    scored: Scored | None = None
    taken_at: float = 0.0
    dropped: bool = False
    is_dead_letter: bool = False
    span: Span | None = None
    partition: Partition = field(init=False)

    def __post_init__(self) -> None:
        self.partition = Partition(self.received.topic, self.received.partition)


@dataclass(slots=True)
class CommitBatch:
    """Records that are published and committed together: the outcomes of `records`, and `added` ones.

    `remembered` are state records that presume all of them to be published. Without transactions they must be
    published last: after a crash in between, the next run would read a wrong state. `offsets` are those of
    the next record to consume.
    """

    records: list[PendingRecord] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    added: list[Outgoing] = field(default_factory=list)
    remembered: list[Outgoing] = field(default_factory=list)

    @property
    def outgoing(self) -> Iterator[Outgoing]:
        """The outcomes of all records, then the added records.

        Outcomes of traced records continue the trace.
        """
        for entry in self.records:
            for outcome in entry.outcomes or ():
                yield outcome if entry.span is None else traced(outcome, tracing.traceparent_of(entry.span))
        yield from self.added


class OffsetTracker:
    """The records in flight of all partitions that this member owns. Not thread-safe.

    `most` limits the records of all partitions, `most_bytes` their values. `most_per_partition` limits those
    of one, so that a partition with a slow head leaves room for the others. One poll may exceed the limits.
    """

    def __init__(self, *, most: int, most_per_partition: int, most_bytes: int = MOST_BYTES) -> None:
        self._queues: dict[Partition, deque[PendingRecord]] = {}
        self._most: Final = most
        self._most_per_partition: Final = most_per_partition
        self._most_bytes: Final = most_bytes
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def add(self, received: Received) -> PendingRecord:
        """Add a record. Records of a partition must be added in the order of their offsets."""
        entry = PendingRecord(received)
        self._queues.setdefault(entry.partition, deque()).append(entry)
        self._count += 1
        self._bytes += len(received.value or b"")
        return entry

    def full(self, partition: Partition) -> bool:
        """Whether this partition should not be fetched for now."""
        queue = self._queues.get(partition, ())
        too_many = self._count >= self._most or self._bytes >= self._most_bytes
        return too_many or len(queue) >= self._most_per_partition

    def finished(self, *, most: int) -> CommitBatch:
        """A batch of at most `most` records that, with all records before them, have an outcome.

        They stay tracked until `settle`, so that a failed batch can be repeated.
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
        """Remove the records of a batch that is published and committed."""
        for entry in done.records:
            if not entry.dropped:
                self._queues[entry.partition].popleft()
                self._count -= 1
                self._bytes -= len(entry.received.value or b"")

    def drop(self, partitions: Iterable[Partition]) -> int:
        """Drop the records of partitions that another member owns now; returns their number.

        They were not committed, so the new owner processes them again.
        """
        dropped = 0
        for partition in partitions:
            for entry in self._queues.pop(Partition(*partition), ()):
                entry.dropped = True
                dropped += 1
                self._bytes -= len(entry.received.value or b"")
        self._count -= dropped
        return dropped

    def pending(self, partition: Partition) -> int:
        """The number of records of this partition in flight."""
        return len(self._queues.get(partition, ()))

    def first(self, partition: Partition) -> int | None:
        """The offset of the oldest record of this partition in flight; None if there is none."""
        queue = self._queues.get(partition)
        return queue[0].received.offset if queue else None
