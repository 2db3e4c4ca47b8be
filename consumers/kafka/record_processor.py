"""The interface between the loop (`consumers/kafka/loop.py`) and the processing of its records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import metrics
from consumers.kafka.offsets import CommitBatch, Partition, PendingRecord
from consumers.kafka.pending_erasures import IsErased
from consumers.kafka.records import Outgoing, dead_letter, shortened
from errors import ServiceError


class RecordProcessor(Protocol):
    """Determines the outcomes of every record. One instance per `Stream`, used only in its thread."""

    @property
    def topic(self) -> str:
        """The input topic."""

    @property
    def pause_reason(self) -> str | None:
        """The reason why no record can be processed now, a sentence. None while records may be fetched."""

    @property
    def slow_reason(self) -> str:
        """The reason why some records wait although others are processed, a sentence; empty otherwise."""

    @property
    def busy(self) -> bool:
        """Whether an outcome may become available without a new record."""

    def wait(self, timeout_s: float) -> None:
        """Block until an outcome is available for `advance`, for at most `timeout_s`."""

    def take(self, entry: PendingRecord) -> None:
        """Accept a new record. Records of a partition come in the order of their offsets."""

    def refuse(self, entry: PendingRecord, error: ServiceError, *, attempts: int) -> None:
        """Send a new record that must not be processed to the dead letters."""

    def advance(self) -> None:
        """Set the outcomes of entries that are finished. May raise `KafkaUnavailable`."""

    def complete(self, done: CommitBatch) -> None:
        """Add further records to publish to a batch. Called again if the batch fails."""

    def settle(self, done: CommitBatch) -> None:
        """Finish a batch that has been committed."""

    def look_around(self, partitions: Collection[Partition]) -> None:
        """Called about once a second, with all partitions of this member. May raise `KafkaUnavailable`."""

    def tombstones(self, erased: Mapping[Partition, IsErased]) -> list[Outgoing]:
        """The records that delete state to be erased from the state topic.

        Loads the state of partitions where it is needed. May raise `KafkaUnavailable`.
        """

    def erase(self, erased: Mapping[Partition, IsErased]) -> None:
        """Erase the state in memory. Its tombstones have been published."""

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Drop the state of partitions that other members own now. Their entries are marked as dropped."""


def send_to_dead_letter(entry: PendingRecord, error: ServiceError, *, attempts: int, topic: str) -> None:
    """Set a dead letter as the outcome of a record, and count it."""
    entry.outcomes = (dead_letter(entry.received, error, attempts=attempts, topic=topic),)
    entry.is_dead_letter = True
    metrics.STREAM_DEAD_LETTERS.labels(code=error.code).inc()


def shorten_dead_letters(done: CommitBatch) -> bool:
    """Shorten the dead letters of a batch by `shortened`; returns whether any was changed."""
    found = False
    for entry in done.records:
        outcomes = tuple(
            shortened(outcome) if any(name == "x-error-code" for name, _ in outcome.headers) else outcome
            for outcome in entry.outcomes or ()
        )
        if outcomes != entry.outcomes:
            entry.outcomes, found = outcomes, True
    return found
