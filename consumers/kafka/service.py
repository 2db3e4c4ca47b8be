"""One consumer process from its start to its end, with and without Kafka."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from structlog.contextvars import bind_contextvars

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
    MemberSlot,
    TransactionalPublisher,
    TransactionsNotIsolated,
    verify_isolation,
)
from consumers.kafka.watchdog import StreamStuck
from process import collect_garbage_seldom
from settings import Settings

log = logging.getLogger(__name__)

LEAVE_TIMEOUT_MS: Final = 3_000
RETRY_PAUSE_S: Final = 1.0


class Service:
    """Keeps a `Stream` going: whenever Kafka is lost, everything is made anew until it is back.

    `topics` must be there, `make_processor` is called for each life of the loop, `close` at the end.
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
        """Until `stopping` is set; the process's exit code, 1 when going on would drop an outcome."""
        if self._slot is not None:
            bind_contextvars(member=self._slot.transactional_id)
        self._heartbeat.start()
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
                except (KafkaUnavailable, KafkaError) as error:
                    log.debug("Kafka: %r", error)
                    self._heartbeat.set_status(Status("disconnected", self._reason(error)))
                    stopping.wait(RETRY_PAUSE_S)
        except OutcomeRefused as error:
            log.critical("an outcome was refused, and dropping it is not an option: %s", error)
            return 1
        except StreamStuck as error:
            log.critical("%s Ending the process, so that it starts afresh.", error)
            return 1
        except TransactionsNotIsolated as error:
            log.critical("%s KAFKA_TRANSACTIONS=on refuses this broker; off accepts it.", error)
            return 1
        finally:
            self._close()
            self._heartbeat.stop()
            if self._slot is not None:
                self._slot.release()
        return 0

    def _live(self, stopping: threading.Event) -> None:
        """One life of the Kafka clients."""
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

    def _reason(self, error: KafkaUnavailable | KafkaError) -> str:
        """For people, and the same for every attempt."""
        cause = error.__cause__ if isinstance(error, KafkaUnavailable) else error
        if cause is None or isinstance(cause, TimeoutError) or getattr(cause, "retriable", False):
            return f"Kafka at {self._settings.kafka_bootstrap_servers} does not answer"
        return f"{type(cause).__name__}: {cause}"


def _member_slot(settings: Settings, folder: Path) -> MemberSlot | None:
    """None where `STATE_DIR` cannot be written to and no transactions are wanted: then nothing needs it."""
    try:
        return MemberSlot(folder, settings.kafka_group_id)
    except OSError:
        if settings.kafka_transactions:
            raise
        return None


def _leave(consumer: KafkaConsumer) -> None:
    """Leave the group, so that others take over at once. Within 3 s, whatever the broker does."""
    try:
        consumer.close(autocommit=False, timeout_ms=LEAVE_TIMEOUT_MS)
    except KafkaError as error:
        log.debug("leaving the group: %s", error)
