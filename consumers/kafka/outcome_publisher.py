"""Publish outcomes and commit their offsets, at least once."""

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
# Permanent errors: an operator must change a permission, a limit or a name first.
REFUSALS: Final = (
    AuthorizationError,
    InvalidRecordError,
    InvalidTopicError,
    TypeError,
    ValueError,
)


class KafkaUnavailable(ServiceError):
    """Raised if Kafka did not accept something in time. Records without a committed offset are repeated."""

    code = "kafka_unavailable"
    retryable = True
    retry_after_s = 2


class OutcomeRefused(ServiceError):
    """Raised if Kafka refuses an outcome permanently. Continuing would lose it."""

    code = "outcome_refused"


class OutcomeTooLarge(OutcomeRefused):
    """Raised if an outcome exceeds its topic's limit. Dead letters can be shortened."""

    code = "outcome_too_large"


def as_trouble(error: Exception, doing: str) -> ServiceError:
    """Map a Kafka client's error to `OutcomeTooLarge`, `OutcomeRefused` or `KafkaUnavailable`.

    `doing` is the failed action, for the message.
    """
    detail = f"{doing}: {type(error).__name__}: {error}"
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return OutcomeTooLarge(detail)
    return OutcomeRefused(detail) if isinstance(error, REFUSALS) else KafkaUnavailable(detail)


def send_all(
    producer: KafkaProducer, records: Iterable[Outgoing]
) -> list[tuple[Outgoing, FutureRecordMetadata]]:
    """Pass records to the producer; returns each with the future of its acknowledgement."""
    return [
        (record, producer.send(record.topic, record.value, key=record.key, headers=list(record.headers)))
        for record in records
    ]


def raise_failure(sent: Iterable[tuple[Outgoing, FutureRecordMetadata]]) -> None:
    """Raise the error of an unacknowledged record, if any. Refusals come first: they make others fail too."""
    troubles = [
        (as_trouble(future.exception, f"publishing to {record.topic}"), future.exception)
        for record, future in sent
        if future.exception is not None
    ]
    if troubles:
        trouble, cause = max(troubles, key=lambda each: isinstance(each[0], OutcomeRefused))
        raise trouble from cause


class AtLeastOncePublisher:
    """Publishes, waits for acknowledgements, then commits. A crash in between repeats records but loses none.

    Readers drop repeats by `event_id`. Use it only in the thread that polls the consumer.
    """

    def __init__(self, consumer: KafkaConsumer, producer: KafkaProducer) -> None:
        self._consumer = consumer
        self._producer = producer
        self._acknowledged: dict[Partition, int] = {}

    def publish(self, done: CommitBatch) -> bool:
        """Publish a batch and commit its offsets; returns True. Blocks for at most 29 s.

        Raises `KafkaUnavailable` or `OutcomeRefused`; nothing of the batch is committed then.
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
        """Commit the acknowledged offsets. Blocks for at most 5 s. In a rebalance the next call commits them.

        Raises `KafkaUnavailable`, or `OutcomeRefused` for a missing permission.
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
        """Discard offsets of partitions that another member owns: a commit would reset its progress."""
        for partition in partitions:
            self._acknowledged.pop(Partition(*partition), None)

    def close(self) -> None:
        """Close the producer. Blocks for at most 3 s. Raises nothing."""
        try:
            self._producer.close(timeout=CLOSE_TIMEOUT_S)
        except KafkaError as error:
            log.debug("closing the producer: %s", error)
            discard(self._producer)
