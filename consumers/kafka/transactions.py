"""Publish outcomes and offsets exactly once: in one Kafka transaction, by a producer that fences zombies."""

from __future__ import annotations

import fcntl
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Final, TypeVar

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError, InvalidProducerEpochError, KafkaError, ProducerFencedError

from consumers.kafka.clients import discard
from consumers.kafka.offsets import CommitBatch, Partition
from consumers.kafka.outcome_publisher import (
    KafkaUnavailable,
    OutcomeRefused,
    as_trouble,
    raise_failure,
    send_all,
)
from errors import ServiceError
from private_files import make_folder, opener

log = logging.getLogger(__name__)

T = TypeVar("T")

# A transaction takes some tens of milliseconds. The broker aborts an open one after a longer timeout.
TRANSACTION_TIMEOUT_S: Final = 10.0
FENCED: Final = (ProducerFencedError, InvalidProducerEpochError)
PROBE_TIMEOUT_S: Final = 10.0


class MemberFenced(KafkaUnavailable):
    """Raised if another producer has taken over the transactional id. Nothing of the batch is committed."""

    code = "member_fenced"


class TransactionsNotIsolated(ServiceError):
    """Raised if the broker delivers records of an aborted transaction to `read_committed` readers."""

    code = "transactions_not_isolated"


class MemberSlot:
    """The lowest `number` that no other process of this folder holds, locked until this process ends.

    Member id and number make the transactional id stable. A successor with the same id first aborts the
    transaction that a killed predecessor left open. Otherwise readers would wait until the broker aborts it.
    An empty `member_id` is the host name and a random part, which the folder keeps.

    Raises `OSError` if the folder is not writable.
    """

    def __init__(self, folder: Path, group_id: str, member_id: str = "") -> None:
        make_folder(folder)
        member_id = member_id or _kept_member_id(folder / "member_id")
        number = 0
        while (lock := _locked(folder / f"{group_id}-{number}.lock")) is None:
            number += 1
        self._lock = lock  # the kernel releases it when the process ends
        self.number: Final = number
        self.transactional_id: Final = f"{group_id}-{member_id}-{number}"

    def release(self) -> None:
        """Release the number."""
        self._lock.close()


def _kept_member_id(path: Path) -> str:
    """The id in the file. An empty file gets one: each `STATE_DIR` of a host must have its own."""
    with open(path, "a+", encoding="ascii", errors="replace", opener=opener) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        file.seek(0)
        kept = file.read().strip()
        if not kept:
            kept = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
            file.write(f"{kept}\n")
    return kept


def _locked(path: Path) -> IO[bytes] | None:
    file = open(path, "ab", opener=opener)  # noqa: SIM115 - open while it is locked
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class TransactionalPublisher:
    """Publishes each batch in one transaction. Use it only in the thread that polls the consumer.

    Offsets are sent with the consumer's group membership. The broker refuses the transaction of a member that
    the group has removed. After any failure the producer is replaced, which aborts the open transaction.
    kafka-python's producer would keep the offsets of a failed transaction and commit them with the next one.
    """

    def __init__(self, consumer: KafkaConsumer, make_producer: Callable[[], KafkaProducer]) -> None:
        self._consumer = consumer
        self._make_producer = make_producer
        self._producer: KafkaProducer | None = None

    def open(self) -> KafkaProducer:
        """Return the producer, ready to begin a transaction. Blocks for at most 10 s.

        Raises `KafkaUnavailable`, or `OutcomeRefused` for a missing permission.
        """
        if self._producer is None:
            producer = self._make_producer()
            self._producer = producer
            try:
                _bounded(producer.init_transactions, TRANSACTION_TIMEOUT_S)
            except (KafkaError, TimeoutError) as error:
                trouble = _trouble(producer, error, "taking over the transactional id")
                self.close()
                raise trouble from error
        return self._producer

    def publish(self, done: CommitBatch) -> bool:
        """Publish and commit a batch atomically. Blocks for at most 10 s, besides `open`.

        Returns False if the group has rebalanced: nothing was committed, and records that this member still
        owns come again. Raises `KafkaUnavailable` or `OutcomeRefused`; the batch may be committed or not.
        """
        producer = self.open()
        membership = self._consumer.group_metadata()
        if membership.generation_id < 0 or not membership.member_id:
            # Without a membership the broker would not fence the offsets.
            return False
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(offset)
            for partition, offset in done.offsets.items()
        }

        def transact() -> None:
            producer.begin_transaction()
            sent = send_all(producer, (*done.outgoing, *done.remembered))
            producer.send_offsets_to_transaction(offsets, membership)
            producer.flush(TRANSACTION_TIMEOUT_S)
            # The commit does not check acknowledgements, and would leave out a failed record.
            raise_failure(sent)
            self.before_commit()
            producer.commit_transaction()

        try:
            _bounded(transact, TRANSACTION_TIMEOUT_S)
        except CommitFailedError as error:
            log.info("batch abandoned, the group has rebalanced (%s)", error)
            self.close()
            return False
        except OutcomeRefused:
            self.close()
            raise
        except (KafkaUnavailable, KafkaError, TypeError, ValueError, TimeoutError) as error:
            trouble = _trouble(producer, error, "committing a transaction")
            self.close()
            if trouble is error:
                raise
            raise trouble from error
        return True

    def before_commit(self) -> None:
        """Hook for tests between sending and committing."""

    def commit(self) -> None:
        """Do nothing: `publish` commits."""

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Do nothing: no offsets are kept between batches."""

    def close(self) -> None:
        """Discard the producer. Its successor, or the broker, aborts an open transaction. Does not block."""
        producer, self._producer = self._producer, None
        if producer is not None:
            discard(producer)


def _trouble(producer: KafkaProducer, error: Exception, doing: str) -> ServiceError:
    """As `as_trouble`, or `MemberFenced`. The producer reports fencing as any error of its later calls."""
    manager = getattr(producer, "_transaction_manager", None)
    errors = (error, error.__cause__, getattr(manager, "last_error", None))
    if any(isinstance(each, FENCED) for each in errors):
        return MemberFenced(f"{doing}: another producer has the transactional id")
    return error if isinstance(error, KafkaUnavailable) else as_trouble(error, doing)


def _bounded(act: Callable[[], T], timeout_s: float) -> T:
    """Run `act` with a timeout: its Kafka calls block for ever without a broker. Raises `TimeoutError`."""
    ended: Future[T] = Future()

    def run() -> None:
        try:
            result = act()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(result)

    threading.Thread(target=run, name="transaction", daemon=True).start()
    return ended.result(timeout_s)


def verify_isolation(producer: KafkaProducer, reader: KafkaConsumer, topic: str) -> None:
    """Abort one probe record, commit another, and check that a `read_committed` reader gets only the second.

    Blocks for at most 10 s while it writes, and 10 s while it reads. Raises `TransactionsNotIsolated`,
    `KafkaUnavailable`, or `KafkaError`. After an error the producer must be discarded.
    """
    nonce = uuid.uuid4().bytes

    def write() -> int:
        producer.begin_transaction()
        first = producer.send(topic, b"aborted " + nonce, partition=0).get(PROBE_TIMEOUT_S)
        producer.abort_transaction()
        producer.begin_transaction()
        producer.send(topic, b"committed " + nonce, partition=0)
        producer.commit_transaction()
        return first.offset

    try:
        offset = _bounded(write, PROBE_TIMEOUT_S)
    except TimeoutError as error:
        raise as_trouble(error, "writing the probe records") from error
    probed = TopicPartition(topic, 0)
    reader.assign([probed])
    reader.seek(probed, offset)
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    while time.monotonic() < deadline:
        for record in reader.poll(timeout_ms=200).get(probed, []):
            if record.value == b"aborted " + nonce:
                raise TransactionsNotIsolated("The broker shows what a transaction has aborted.")
            if record.value == b"committed " + nonce:
                return
    raise KafkaUnavailable("The probe record of a committed transaction did not come back.")
