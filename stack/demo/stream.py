"""Send readings to `charger.metrics`, read predictions from `ml.predictions`, match them by `event_id`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from settings import Settings
from stack.demo.api import DemoFailed

ALL_BACK_WITHIN_S: Final = 60.0
BROKER_TIMEOUT_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A prediction, and the seconds between sending its reading and receiving it."""

    prediction: dict[str, Any]
    seconds: float


def through_kafka(settings: Settings, readings: Sequence[dict[str, Any]]) -> list[Arrival]:
    """Send the readings and wait for the prediction of each. Blocks. Raises `DemoFailed`."""
    servers = settings.kafka_bootstrap_servers.split(",")
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=servers,
            bootstrap_timeout_ms=BROKER_TIMEOUT_MS,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        try:
            _listen_from_now(consumer, settings.kafka_topic_predictions)
            sent_at = _send(servers, settings.kafka_topic_metrics, readings)
            return _collect(consumer, sent_at)
        finally:
            consumer.close()
    except KafkaError as error:
        raise DemoFailed(
            f"Kafka at {settings.kafka_bootstrap_servers} does not answer ({type(error).__name__}). Does "
            "it run, and is KAFKA_BOOTSTRAP_SERVERS or KAFKA_PORT the same as for make run?"
        ) from None


def _listen_from_now(consumer: Any, topic: str) -> None:
    """Read every partition from its end. Without a group, no later run resumes at this one's offsets."""
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise DemoFailed(f"There is no topic {topic}. Does the consumer run?")
    consumer.assign([TopicPartition(topic, partition) for partition in partitions])
    consumer.seek_to_end()
    for partition in consumer.assignment():
        consumer.position(partition)  # resolves the end offset now, and not at the first poll


def _send(servers: Sequence[str], topic: str, readings: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the send time of each reading by its prediction's `event_id`."""
    producer = KafkaProducer(bootstrap_servers=servers, bootstrap_timeout_ms=BROKER_TIMEOUT_MS)
    try:
        futures = [
            (
                time.monotonic(),
                producer.send(topic, key=reading["charger_id"].encode(), value=json.dumps(reading).encode()),
            )
            for reading in readings
        ]
        sent_at = {}
        for moment, future in futures:
            record = future.get(timeout=BROKER_TIMEOUT_MS / 1000)
            sent_at[f"{record.topic}:{record.partition}:{record.offset}"] = moment
        return sent_at
    finally:
        producer.close()


def _collect(consumer: Any, sent_at: dict[str, float]) -> list[Arrival]:
    missing = dict(sent_at)
    arrivals: list[Arrival] = []
    deadline = time.monotonic() + ALL_BACK_WITHIN_S
    while missing and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=500).values():
            now = time.monotonic()
            for record in records:
                prediction = json.loads(record.value)
                moment = missing.pop(prediction.get("event_id"), None)
                if moment is not None:  # else another producer's, or a repeat
                    arrivals.append(Arrival(prediction, now - moment))
    if missing:
        raise DemoFailed(
            f"{len(missing)} of {len(sent_at)} predictions did not come within {ALL_BACK_WITHIN_S:.0f} s. "
            "Do the consumer and the stream worker run?"
        )
    return arrivals
