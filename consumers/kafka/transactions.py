"""Exactly once: outcomes and offsets in one Kafka transaction, by one producer that no zombie can imitate."""

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
from typing import IO, Final

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError, KafkaError

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

log = logging.getLogger(__name__)

# One transaction takes some tens of milliseconds; the broker gives up an open one after its own, longer time.
TRANSACTION_TIMEOUT_S: Final = 10.0
PROBE_TIMEOUT_S: Final = 10.0


class TransactionsNotIsolated(ServiceError):
    """Raised when the broker shows records of an aborted transaction to `read_committed` readers."""

    code = "transactions_not_isolated"


class MemberSlot:
    """The lowest `number` that no other consumer process of this host holds, kept until this process ends.

    It makes a transactional id that a successor takes over: its first act is to abort what a predecessor,
    killed in the middle, has left open, which other readers would else wait for until the broker gives up.
    """

    def __init__(self, folder: Path, group_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while (lock := _locked(folder / f"{group_id}-{number}.lock")) is None:
            number += 1
        self._lock = lock  # the kernel unlocks it, however this process ends
        self.number: Final = number
        self.transactional_id: Final = f"{group_id}-{socket.gethostname()}-{number}"

    def release(self) -> None:
        self._lock.close()


def _locked(path: Path) -> IO[bytes] | None:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class TransactionalPublisher:
    """One transaction for each round. For one thread, the one that polls the consumer.

    The offsets go with the consumer's membership of its group: a member that the group has given up, and
    whose partitions others own, has its transaction refused. After any failure the producer is made anew,
    which aborts what was open: kafka-python's would keep the offsets of a failed transaction and commit them
    with the next one.
    """

    def __init__(self, consumer: KafkaConsumer, make_producer: Callable[[], KafkaProducer]) -> None:
        self._consumer = consumer
        self._make_producer = make_producer
        self._producer: KafkaProducer | None = None

    def open(self) -> KafkaProducer:
        """The producer, ready to begin a transaction. Blocks 10 s at most. Raises `KafkaUnavailable`."""
        if self._producer is None:
            producer = self._make_producer()
            self._producer = producer
            try:
                _bounded(producer.init_transactions, TRANSACTION_TIMEOUT_S)
            except (KafkaError, TimeoutError) as error:
                self.close()
                raise as_trouble(error, "taking over the transactional id") from error
        return self._producer

    def publish(self, done: CommitBatch) -> bool:
        """Publish and commit, all or nothing. Blocks 10 s at most.

        False: the group has moved on; nothing was committed, what is still this member's comes again.
        Raises `KafkaUnavailable` or `OutcomeRefused`; whether it was committed is then the broker's to say.
        """
        producer = self.open()
        membership = self._consumer.group_metadata()
        if membership.generation_id < 0 or not membership.member_id:
            # Without a membership the offsets would be committed unfenced.
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
            # The commit does not look at them: a record that was given up would be left out.
            raise_failure(sent)
            self.before_commit()
            producer.commit_transaction()

        try:
            _bounded(transact, TRANSACTION_TIMEOUT_S)
        except CommitFailedError as error:
            log.info("round abandoned, the group has moved on (%s)", error)
            self.close()
            return False
        except (KafkaUnavailable, OutcomeRefused):
            self.close()
            raise
        except (KafkaError, TypeError, ValueError, TimeoutError) as error:
            self.close()
            raise as_trouble(error, "committing a transaction") from error
        return True

    def before_commit(self) -> None:
        """Everything is sent, nothing is committed: where tests let the process die."""

    def commit(self) -> None:
        """Nothing is left to commit between rounds."""

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Nothing is kept of partitions between rounds."""

    def close(self) -> None:
        """Let the producer go; an open transaction is aborted by its successor, or by the broker."""
        producer, self._producer = self._producer, None
        if producer is not None:
            discard(producer)


def _bounded(act: Callable[[], None], timeout_s: float) -> None:
    """Run `act`, whose Kafka calls wait for ever while the broker is away. Raises `TimeoutError`."""
    ended: Future[None] = Future()

    def run() -> None:
        try:
            act()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=run, name="transaction", daemon=True).start()
    ended.result(timeout_s)


def verify_isolation(producer: KafkaProducer, reader: KafkaConsumer, topic: str) -> None:
    """Abort a probe record, commit another, and see that a `read_committed` reader gets only the second.

    Blocks 10 s at most. Raises `TransactionsNotIsolated`, `KafkaUnavailable`, or `KafkaError`.
    """
    nonce = uuid.uuid4().bytes
    producer.begin_transaction()
    first = producer.send(topic, b"aborted " + nonce, partition=0).get(PROBE_TIMEOUT_S)
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send(topic, b"committed " + nonce, partition=0)
    producer.commit_transaction()
    probed = TopicPartition(topic, 0)
    reader.assign([probed])
    reader.seek(probed, first.offset)
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    while time.monotonic() < deadline:
        for record in reader.poll(timeout_ms=200).get(probed, []):
            if record.value == b"aborted " + nonce:
                raise TransactionsNotIsolated("The broker shows what a transaction has aborted.")
            if record.value == b"committed " + nonce:
                return
    raise KafkaUnavailable("The probe record of a committed transaction did not come back.")
