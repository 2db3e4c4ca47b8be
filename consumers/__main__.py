"""`python -m consumers` scores every reading on `charger.metrics`: wiring, signals, life without Kafka."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from types import FrameType
from typing import Final

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

import logs
from consumers.clients import ensure_topics, make_consumer, make_producer
from consumers.publisher import AtLeastOncePublisher, KafkaUnavailable, OutcomeRefused
from consumers.pulse import Pulse, Status
from consumers.scoring import Scoring
from consumers.stream import Stream
from settings import Settings, load_or_exit
from tasks.stream import StreamDoor

log = logging.getLogger("consumers")

CLOSE_TIMEOUT_S: Final = 3.0
RETRY_PAUSE_S: Final = 1.0


def main() -> int:
    """Run until SIGTERM or SIGINT; the exit code is 1 when an outcome was refused for good."""
    settings = load_or_exit()
    logs.configure(settings)
    # While Kafka is down its client has several lines a second to say about it; one is enough, and ours.
    if settings.log_level != "DEBUG":
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stopping = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        log.info("stopping (%s)", signal.Signals(number).name)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    pulse = Pulse(settings)
    pulse.start()
    door = StreamDoor(settings)
    try:
        while not stopping.is_set():
            try:
                _connect_and_run(settings, door, pulse, stopping)
            except KafkaUnavailable as error:
                pulse.say(Status("disconnected", _plain(settings, error)))
                log.debug("Kafka: %s", error)
                stopping.wait(RETRY_PAUSE_S)
    except OutcomeRefused as error:
        log.critical("an outcome was refused, and dropping it is not an option: %s", error)
        return 1
    finally:
        door.close()
        pulse.stop()
    return 0


def _connect_and_run(settings: Settings, door: StreamDoor, pulse: Pulse, stopping: threading.Event) -> None:
    """One life of the Kafka clients. Raises `KafkaUnavailable` or `OutcomeRefused`."""
    consumer: KafkaConsumer | None = None
    producer: KafkaProducer | None = None
    try:
        ensure_topics(settings)
        producer = make_producer(settings)
        consumer = make_consumer(settings)
        publisher = AtLeastOncePublisher(consumer, producer)
        scoring = Scoring(door, clock=time.monotonic)
        stream = Stream(settings, consumer=consumer, publisher=publisher, scoring=scoring, pulse=pulse)
        stream.run(stopping)
    except KafkaError as error:
        raise KafkaUnavailable(f"{type(error).__name__}: {error}") from error
    finally:
        _close(consumer, producer)


def _close(consumer: KafkaConsumer | None, producer: KafkaProducer | None) -> None:
    """Leave the group and close, within about 6 s whatever the broker does."""
    try:
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_S * 1000)
        if producer is not None:
            producer.close(timeout=CLOSE_TIMEOUT_S)
    except KafkaError as error:
        log.debug("closing: %s", error)


def _plain(settings: Settings, error: KafkaUnavailable) -> str:
    """The reason as people need it, the same for every attempt."""
    cause = error.__cause__
    if cause is None or getattr(cause, "retriable", False):
        return f"Kafka at {settings.kafka_bootstrap_servers} does not answer"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
