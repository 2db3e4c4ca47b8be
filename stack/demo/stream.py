"""Send readings to the service's Kafka, read its predictions from there, match them by `event_id`."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from consumers.kafka.clients import make_producer, make_reader
from evzone_ml_client.schemas import KafkaInfo
from settings import Settings
from stack.demo.api import DemoFailed

ALL_BACK_WITHIN_S: Final = 60.0
SENT_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A prediction, and the seconds between sending its reading and receiving it."""

    prediction: dict[str, Any]
    seconds: float


def through_kafka(settings: Settings, kafka: KafkaInfo, readings: Sequence[dict[str, Any]]) -> list[Arrival]:
    """Send the readings to the brokers of `kafka` and wait for the prediction of each.

    User, password and certificates are those of `settings`. Blocks. Raises `DemoFailed`.
    """
    theirs = dataclasses.replace(
        settings,
        kafka_bootstrap_servers=",".join(kafka["bootstrap_servers"]),
        kafka_security_protocol=kafka["security_protocol"],
        kafka_sasl_mechanism=kafka["sasl_mechanism"] or settings.kafka_sasl_mechanism,
    )
    try:
        consumer = make_reader(theirs)
        try:
            _listen_from_now(consumer, kafka["topics"]["predictions"])
            sent_at = _send(make_producer(theirs), kafka["topics"]["readings"], readings)
            return _collect(consumer, sent_at)
        finally:
            consumer.close()
    except KafkaError as error:
        raise DemoFailed(
            f"Kafka, as the service names it, cannot be reached from here: {theirs.kafka_bootstrap_servers}, "
            f"{theirs.kafka_security_protocol} ({type(error).__name__})."
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


def _send(producer: KafkaProducer, topic: str, readings: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the send time of each reading by its prediction's `event_id`. Closes the producer."""
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
            record = future.get(timeout=SENT_WITHIN_S)
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
