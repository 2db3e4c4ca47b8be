# mypy: ignore-errors
"""Rivals of the stream, each a process on the same topics.

`plain` is a typical first version: one record, one prediction in this process, one published record. The
client commits offsets now and then. `limit` does not score. It takes the records of a poll, writes records of
the service's output size, and commits both in one transaction, with the service's clients. `bare-limit` uses
kafka-python as pip installs it, which computes checksums in Python.
"""

import os
import sys
import time
from datetime import UTC, datetime

if sys.argv[1] == "bare-limit":
    sys.modules["crc32c"] = None  # prevents its import

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from settings import Settings, read_settings

OUTPUT = b'{"charger_id": "EVZ-0042", "filler": "' + b"x" * 1700 + b'"}'


def limit(settings: Settings) -> None:
    """Run the loop without scoring, until killed."""
    from consumers.kafka.clients import make_consumer, make_producer

    consumer = make_consumer(settings)
    consumer.subscribe([settings.kafka_topic_metrics])
    producer = make_producer(settings, transactional_id=f"limit-{os.getpid()}")
    producer.init_transactions()
    while True:
        polled = consumer.poll(timeout_ms=200)
        if not polled:
            continue
        producer.begin_transaction()
        for records in polled.values():
            for record in records:
                producer.send(settings.kafka_topic_predictions, OUTPUT, key=record.key)
        offsets = {tp: OffsetAndMetadata(records[-1].offset + 1) for tp, records in polled.items()}
        producer.send_offsets_to_transaction(
            {TopicPartition(*tp): offset for tp, offset in offsets.items()}, consumer.group_metadata()
        )
        producer.commit_transaction()


def plain(settings: Settings) -> None:
    """Run the plain loop, until killed."""
    from bench.rivals.responses import Answerer
    from readings.parsing import decode_json, parse_reading

    answerer = Answerer()
    servers = settings.kafka_bootstrap_servers
    consumer = KafkaConsumer(
        settings.kafka_topic_metrics,
        bootstrap_servers=servers,
        group_id=settings.kafka_group_id,
        auto_offset_reset="earliest",
    )
    producer = KafkaProducer(bootstrap_servers=servers)
    for record in consumer:
        reading = parse_reading(decode_json(record.value), now=datetime.now(UTC))
        (verdict,) = answerer.verdicts([reading])
        producer.send(settings.kafka_topic_predictions, verdict, key=record.key)


if __name__ == "__main__":
    time.sleep(0.1)
    {"limit": limit, "bare-limit": limit, "plain": plain}[sys.argv[1]](read_settings(dotenv=None))
