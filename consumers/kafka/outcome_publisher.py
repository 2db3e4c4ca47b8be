"""Publishing outcomes and committing the offsets they stand for."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CommitFailedError,
    InvalidRecordError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RebalanceInProgressError,
    RecordListTooLargeError,
)
from kafka.producer.future import FutureRecordMetadata

from consumers.kafka.clients import discard
from consumers.kafka.offsets import CommitBatch, Partition
from consumers.kafka.records import Outgoing
from errors import ServiceError

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_S: Final = 12.0
COMMIT_TIMEOUT_MS: Final = 5_000
CLOSE_TIMEOUT_S: Final = 3.0
# Trying again would meet the same: somebody has to change a right, a limit or a name first.
REFUSALS: Final = (
    AuthorizationError,
    InvalidRecordError,
    InvalidTopicError,
    TypeError,
    ValueError,
)


class KafkaUnavailable(ServiceError):
    """Raised when Kafka did not take something in time; what has no committed offset is done again."""

    code = "kafka_unavailable"
    retryable = True
    retry_after_s = 2


class OutcomeRefused(ServiceError):
    """Raised when Kafka refuses an outcome for good. Going on would drop it."""

    code = "outcome_refused"


class OutcomeTooLarge(OutcomeRefused):
    """Raised when an outcome is larger than its topic takes. Dead letters can be shortened."""

    code = "outcome_too_large"


def as_trouble(error: Exception, doing: str) -> ServiceError:
    """What a Kafka client's error means to this service."""
    detail = f"{doing}: {type(error).__name__}: {error}"
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return OutcomeTooLarge(detail)
    return OutcomeRefused(detail) if isinstance(error, REFUSALS) else KafkaUnavailable(detail)


def send_all(
    producer: KafkaProducer, records: Iterable[Outgoing]
) -> list[tuple[Outgoing, FutureRecordMetadata]]:
    """Hand records to the producer; each with the future of its acknowledgement."""
    return [
        (record, producer.send(record.topic, record.value, key=record.key, headers=list(record.headers)))
        for record in records
    ]


def raise_failure(sent: Iterable[tuple[Outgoing, FutureRecordMetadata]]) -> None:
    """Raise what an unacknowledged record means. A refusal goes first: in its wake other records fail too."""
    troubles = [
        (as_trouble(future.exception, f"publishing to {record.topic}"), future.exception)
        for record, future in sent
        if future.exception is not None
    ]
    if troubles:
        trouble, cause = max(troubles, key=lambda each: isinstance(each[0], OutcomeRefused))
        raise trouble from cause


class AtLeastOncePublisher:
    """Publishes, waits for the acknowledgements, then commits: a crash in between repeats, never loses.

    Readers drop repeats by `event_id`. For one thread, the one that polls the consumer.
    """

    def __init__(self, consumer: KafkaConsumer, producer: KafkaProducer) -> None:
        self._consumer = consumer
        self._producer = producer
        self._acknowledged: dict[Partition, int] = {}

    def publish(self, done: CommitBatch) -> bool:
        """True once every record is acknowledged. Blocks 29 s at most.

        Raises `KafkaUnavailable` or `OutcomeRefused`; then nothing of the round will be committed.
        """
        self._send(done.outgoing)
        if done.remembered:
            self._send(done.remembered)
        self._acknowledged.update(done.offsets)
        self.commit()
        return True

    def _send(self, records: Iterable[Outgoing]) -> None:
        try:
            sent = send_all(self._producer, records)
            self._producer.flush(PUBLISH_TIMEOUT_S)
        except (KafkaError, TypeError, ValueError) as error:
            raise as_trouble(error, "publishing") from error
        raise_failure(sent)

    def commit(self) -> None:
        """Commit what is acknowledged. Blocks 5 s at most; in a rebalance it is left for later.

        Raises `KafkaUnavailable`.
        """
        if not self._acknowledged:
            return
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(offset)
            for partition, offset in self._acknowledged.items()
        }
        try:
            self._consumer.commit(offsets, timeout_ms=COMMIT_TIMEOUT_MS)
        except (CommitFailedError, RebalanceInProgressError) as error:
            log.info("offsets are committed after the rebalance (%s)", error)
        except KafkaError as error:
            raise as_trouble(error, "committing offsets") from error
        else:
            self._acknowledged.clear()

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Partitions went to another member: a commit of theirs would turn its progress back."""
        for partition in partitions:
            self._acknowledged.pop(Partition(*partition), None)

    def close(self) -> None:
        """Close the producer, within 3 s. Raises nothing."""
        try:
            self._producer.close(timeout=CLOSE_TIMEOUT_S)
        except KafkaError as error:
            log.debug("closing the producer: %s", error)
            discard(self._producer)
