"""Run one consumer process, and reconnect whenever Kafka is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from structlog.contextvars import bind_contextvars

from admin_port import AdminPort
from consumers.kafka.clients import (
    TopicOptions,
    ensure_topics,
    make_consumer,
    make_producer,
    make_reader,
    probe_topic,
)
from consumers.kafka.crash_journal import CrashJournal
from consumers.kafka.heartbeat import Heartbeat, Status
from consumers.kafka.loop import Stream
from consumers.kafka.outcome_publisher import AtLeastOncePublisher, KafkaUnavailable, OutcomeRefused
from consumers.kafka.record_processor import RecordProcessor
from consumers.kafka.transactions import (
    MemberFenced,
    MemberSlot,
    TransactionalPublisher,
    TransactionsNotIsolated,
    verify_isolation,
)
from consumers.kafka.watchdog import StreamStuck
from process import collect_garbage_of_outage, collect_garbage_seldom
from settings import Settings

log = logging.getLogger(__name__)

LEAVE_TIMEOUT_MS: Final = 3_000
RETRY_PAUSE_S: Final = 1.0
# Two consumers with one member id fence each other. Each works for this long before the other is back.
FENCED_PAUSE_S: Final = 10.0


class Service:
    """Runs a `Stream`. Whenever Kafka is lost, replaces all clients until it is back.

    `topics` are created if missing. `make_processor` is called for each new `Stream`, `close` at the end.
    """

    def __init__(
        self,
        settings: Settings,
        heartbeat: Heartbeat,
        *,
        topics: Mapping[str, TopicOptions],
        make_processor: Callable[[Heartbeat, CrashJournal], RecordProcessor],
        close: Callable[[], None] = lambda: None,
        transactional: type[TransactionalPublisher] = TransactionalPublisher,
    ) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._topics = topics
        self._make_processor = make_processor
        self._close = close
        self._transactional = transactional
        self._with_transactions = settings.kafka_transactions
        folder = settings.state_dir / "consumers"
        self._slot = _member_slot(settings, folder)
        self._journal = CrashJournal(
            None if self._slot is None else folder,
            settings.kafka_group_id,
            0 if self._slot is None else self._slot.number,
        )
        self._isolation_verified = False

    def run(self, stopping: threading.Event) -> int:
        """Run until `stopping` is set; returns the exit code.

        1: an outcome was refused, the stream is stuck, or the broker does not isolate transactions.
        """
        if self._slot is not None:
            bind_contextvars(member=self._slot.transactional_id)
        self._heartbeat.start()
        AdminPort(self._settings, self._heartbeat.health).start()
        collect_garbage_seldom()
        try:
            while not stopping.is_set():
                try:
                    self._live(stopping)
                except TransactionsNotIsolated as error:
                    if self._settings.kafka_transactions_required:
                        raise
                    log.warning("%s Going on without transactions.", error)
                    self._with_transactions = False
                except MemberFenced as error:
                    log.debug("Kafka: %r", error)
                    self._heartbeat.set_status(Status("disconnected", self._fenced()))
                    stopping.wait(FENCED_PAUSE_S)
                except (KafkaUnavailable, KafkaError) as error:
                    log.debug("Kafka: %r", error)
                    self._heartbeat.set_status(Status("disconnected", self._reason(error)))
                    stopping.wait(RETRY_PAUSE_S)
                collect_garbage_of_outage()  # of the clients before
        except OutcomeRefused as error:
            log.critical("an outcome was refused, and dropping it is not an option: %s", error)
            return 1
        except StreamStuck as error:
            log.critical("%s Ending the process, so that it starts afresh.", error)
            return 1
        except TransactionsNotIsolated as error:
            log.critical("%s KAFKA_TRANSACTIONS=true refuses this broker; false accepts it.", error)
            return 1
        finally:
            self._close()
            self._heartbeat.stop()
            if self._slot is not None:
                self._slot.release()
        return 0

    def _live(self, stopping: threading.Event) -> None:
        """Run one `Stream` on new Kafka clients."""
        ensure_topics(self._settings, self._topics)
        consumer = make_consumer(self._settings)
        publisher: AtLeastOncePublisher | TransactionalPublisher | None = None
        try:
            publisher = self._make_publisher(consumer)
            stream = Stream(
                self._settings,
                consumer=consumer,
                publisher=publisher,
                processor=self._make_processor(self._heartbeat, self._journal),
                heartbeat=self._heartbeat,
                journal=self._journal,
            )
            stream.run(stopping)
        finally:
            if publisher is not None:
                publisher.close()
            _leave(consumer)

    def _make_publisher(self, consumer: KafkaConsumer) -> AtLeastOncePublisher | TransactionalPublisher:
        slot = self._slot
        if slot is None or not self._with_transactions:
            log.info("delivery: at least once; readers drop repeats by event_id")
            return AtLeastOncePublisher(consumer, make_producer(self._settings))
        publisher = self._transactional(
            consumer, lambda: make_producer(self._settings, transactional_id=slot.transactional_id)
        )
        try:
            publisher.open()
            if not self._isolation_verified:
                self._verify(publisher)
            log.info("delivery: exactly once, as %s", slot.transactional_id)
        except BaseException:
            publisher.close()
            raise
        return publisher

    def _verify(self, publisher: TransactionalPublisher) -> None:
        reader = make_reader(self._settings)
        try:
            verify_isolation(publisher.open(), reader, probe_topic(self._settings))
        finally:
            reader.close(timeout_ms=LEAVE_TIMEOUT_MS)
        self._isolation_verified = True

    def _fenced(self) -> str:
        member = "" if self._slot is None else self._slot.transactional_id
        return (
            f"another consumer has the member id of {member}, or this one stood still for long; "
            "give each STATE_DIR a KAFKA_MEMBER_ID of its own"
        )

    def _reason(self, error: KafkaUnavailable | KafkaError) -> str:
        """The reason for operators. The text is equal for every attempt, so that it is logged once."""
        cause = error.__cause__ if isinstance(error, KafkaUnavailable) else error
        if cause is None or isinstance(cause, TimeoutError) or getattr(cause, "retriable", False):
            return f"Kafka at {self._settings.kafka_bootstrap_servers} does not answer"
        return f"{type(cause).__name__}: {cause}"


def _member_slot(settings: Settings, folder: Path) -> MemberSlot | None:
    """A member slot, or None if `STATE_DIR` is not writable and transactions are off.

    Raises `OSError` if transactions need the slot.
    """
    try:
        return MemberSlot(folder, settings.kafka_group_id, settings.kafka_member_id)
    except OSError:
        if settings.kafka_transactions:
            raise
        return None


def _leave(consumer: KafkaConsumer) -> None:
    """Leave the group, so that other members take over at once. Blocks for at most 3 s."""
    try:
        consumer.close(autocommit=False, timeout_ms=LEAVE_TIMEOUT_MS)
    except KafkaError as error:
        log.debug("leaving the group: %s", error)
