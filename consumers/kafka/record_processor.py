"""The interface between the loop (`consumers/kafka/loop.py`) and the processing of its records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import metrics
from consumers.kafka.offsets import CommitBatch, Partition, PendingRecord
from consumers.kafka.records import dead_letter, shortened
from errors import ServiceError


class RecordProcessor(Protocol):
    """Gives every record its outcomes. One for each life of the loop, called by its thread alone."""

    @property
    def topic(self) -> str:
        """The input topic."""

    @property
    def pause_reason(self) -> str | None:
        """Why nothing can be done now, a sentence; then nothing is fetched. None when all is well."""

    @property
    def busy(self) -> bool:
        """Whether an outcome may come at any moment, without a new record."""

    def wait(self, timeout_s: float) -> None:
        """Block until an outcome has come that `advance` has not seen, `timeout_s` at most."""

    def take(self, entry: PendingRecord) -> None:
        """A new record. Within a partition, in the order of their offsets."""

    def refuse(self, entry: PendingRecord, error: ServiceError, *, attempts: int) -> None:
        """A new record that must not be worked on: make a dead letter of it."""

    def advance(self) -> None:
        """Give outcomes to entries that can have them now. May raise `KafkaUnavailable`."""

    def complete(self, done: CommitBatch) -> None:
        """Add to a round what is to be published with its outcomes; it is called again if the round fails."""

    def settle(self, done: CommitBatch) -> None:
        """The round is committed."""

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Partitions went to other members; their entries are marked as dropped."""


def send_to_dead_letter(entry: PendingRecord, error: ServiceError, *, attempts: int, topic: str) -> None:
    """Make a dead letter of a record."""
    entry.outcomes = (dead_letter(entry.received, error, attempts=attempts, topic=topic),)
    metrics.STREAM_DEAD_LETTERS.labels(code=error.code).inc()


def shorten_dead_letters(done: CommitBatch) -> bool:
    """Shorten the dead letters of a round, as `shortened` does. Whether any was larger."""
    found = False
    for entry in done.records:
        outcomes = tuple(
            shortened(outcome) if any(name == "x-error-code" for name, _ in outcome.headers) else outcome
            for outcome in entry.outcomes or ()
        )
        if outcomes != entry.outcomes:
            entry.outcomes, found = outcomes, True
    return found
