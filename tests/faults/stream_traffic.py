"""A producer of records, and a reader of their outcomes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

import orjson
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from tests.faults.callers import Chargers, said_by
from tests.faults.history import History
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, PREDICTIONS, event_id

SEND_EVERY_S: Final = 0.1
ACKNOWLEDGED_WITHIN_S: Final = 30.0
SETTLED_WITHIN_S: Final = 90.0
# Later than this no second outcome comes.
QUIET_S: Final = 3.0
# One record in so many cannot be read.
WRONG_EACH: Final = 50


class Rate(Protocol):
    """How many records are sent."""

    records_a_second: float


class Stream:
    """Sends records of all tenants. `acknowledged` counts those that the broker has taken."""

    def __init__(self, kafka: str, history: History, chargers: Chargers, rate: Rate) -> None:
        self.acknowledged = 0
        self._acknowledged_at = 0.0
        self._kafka = kafka
        self._history = history
        self._chargers = chargers
        self._rate = rate
        self._waiting: set[str] = set()
        self._early: set[str] = set()
        self._lock = threading.Lock()
        self._stopped, self._settled = threading.Event(), threading.Event()

    @property
    def outstanding(self) -> int:
        """The number of acknowledged records that have no outcome yet."""
        return len(self._waiting)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it in two threads. On leaving, blocks until all records have an outcome, 2 minutes at most."""
        producing, reading = (threading.Thread(target=run) for run in (self._produce, self._read))
        producing.start()
        reading.start()
        try:
            yield
        finally:
            self._stopped.set()
            producing.join()
            self._settled.set()
            reading.join()

    def _new_producer(self) -> KafkaProducer:
        # It shall get over a dead connection before the service does.
        return KafkaProducer(
            bootstrap_servers=self._kafka, max_block_ms=5000, acks="all", request_timeout_ms=3000
        )

    def _produce(self) -> None:
        producer = self._new_producer()
        number, owed = 0, 0.0
        self._acknowledged_at = time.monotonic()
        while not self._stopped.wait(SEND_EVERY_S):
            if time.monotonic() - self._acknowledged_at > ACKNOWLEDGED_WITHIN_S:
                # kafka-python's producer (3.0.12) may never send again after two outages.
                with suppress(KafkaError):
                    producer.close(timeout=0)
                producer = self._new_producer()
                self._acknowledged_at = time.monotonic()
            owed += self._rate.records_a_second * SEND_EVERY_S
            while owed >= 1:
                owed -= 1
                number += 1
                self._send(producer, is_wrong=number % WRONG_EACH == 0)
        with suppress(KafkaError):  # what is not acknowledged is not promised
            producer.flush(ACKNOWLEDGED_WITHIN_S)
        with suppress(KafkaError):
            producer.close(timeout=0)

    def _send(self, producer: KafkaProducer, *, is_wrong: bool) -> None:
        sent = self._chargers.reading(self._chargers.tenant())
        envelope = {"charger_id": sent.charger, "metrics": sent.body, "tenant_id": sent.tenant}
        if is_wrong:
            envelope["metrics"] = sent.body | {"connector_status": "BURNING"}

        def note(partition: int | None, offset: int | None) -> None:
            self._history.write(
                "record", partition=partition, offset=offset, reading=sent.named, wrong=is_wrong
            )

        def taken(record: Any) -> None:
            self._acknowledged_at = time.monotonic()
            if record.offset < 0:  # the broker had it already, and does not say where
                note(None, None)
                return
            note(record.partition, record.offset)
            place = f"{record.partition}:{record.offset}"
            with self._lock:
                self.acknowledged += 1
                if place in self._early:
                    self._early.discard(place)
                else:
                    self._waiting.add(place)

        try:
            future = producer.send(INPUT, orjson.dumps(envelope), key=sent.charger.encode())
        except KafkaError:  # not acknowledged: nothing is promised
            note(None, None)
            return
        future.add_callback(taken)
        future.add_errback(lambda _: note(None, None))

    def _read(self) -> None:
        consumer = KafkaConsumer(bootstrap_servers=self._kafka, isolation_level="read_committed")
        try:
            consumer.assign(
                [
                    TopicPartition(topic, partition)
                    for topic in (PREDICTIONS, DEAD_LETTERS)
                    for partition in consumer.partitions_for_topic(topic) or ()
                ]
            )
            consumer.seek_to_beginning()
            deadline = quiet_since = time.monotonic()
            while True:
                now = time.monotonic()
                if not self._settled.is_set():
                    deadline = now + SETTLED_WITHIN_S
                elif now > deadline or (not self._waiting and now - quiet_since > QUIET_S):
                    return
                for records in consumer.poll(500).values():
                    for record in records:
                        self._outcome(record)
                        quiet_since = now
        finally:
            consumer.close()

    def _outcome(self, record: Any) -> None:
        _, partition, offset = event_id(record).rsplit(":", 2)
        is_prediction = record.topic == PREDICTIONS
        self._history.write(
            "outcome",
            kind="prediction" if is_prediction else "dead_letter",
            partition=int(partition),
            offset=int(offset),
            placed=[record.partition, record.offset],
            said=said_by(orjson.loads(record.value)) if is_prediction else None,
        )
        place = f"{partition}:{offset}"
        with self._lock:
            if place in self._waiting:
                self._waiting.discard(place)
            else:
                self._early.add(place)
