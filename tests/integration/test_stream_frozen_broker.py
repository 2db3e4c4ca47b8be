"""A broker that stands still costs the consumer no work (see `consumers/kafka/clients.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from consumers.kafka.clients import make_consumer
from settings.environment import read_settings
from tests.processes import KEY
from tests.services import RunningServer, start_kafka

TOPIC: Final = "frozen"
POLL_MS: Final = 200
POLLS: Final = 10
# A poll takes a few rounds: one that waits, and some in its last millisecond. kafka-python's own consumer
# takes some hundred.
ROUNDS_A_POLL: Final = 30


def counted(consumer: KafkaConsumer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the rounds of `poll` from now on."""
    count = 0
    fetch = consumer._fetcher.fetch_records

    def counting(*args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        return fetch(*args, **named)

    monkeypatch.setattr(consumer._fetcher, "fetch_records", counting)
    return lambda: count


def read_one(consumer: KafkaConsumer, kafka: RunningServer) -> None:
    """Send a record, and poll until it is there."""
    producer = KafkaProducer(bootstrap_servers=kafka.url)
    producer.send(TOPIC, b"x").get(10)
    producer.close()
    deadline = time.monotonic() + 20
    while not consumer.poll(timeout_ms=POLL_MS):
        assert time.monotonic() < deadline, "no record came"


def test_poll_waits_while_a_heartbeat_stays_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    with start_kafka() as kafka:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.url)
        monkeypatch.setenv("ML_SERVICE_API_KEY", KEY)
        admin = KafkaAdminClient(bootstrap_servers=kafka.url)
        admin.create_topics({TOPIC: {"num_partitions": 1, "replication_factor": 1}})
        admin.close()
        consumer = make_consumer(read_settings(dotenv=None))
        consumer.subscribe([TOPIC])
        read_one(consumer, kafka)
        kafka.pause()
        try:
            while consumer._coordinator.time_to_next_heartbeat() > 0:
                consumer.poll(timeout_ms=POLL_MS)
            rounds = counted(consumer, monkeypatch)
            for _ in range(POLLS):
                assert consumer.poll(timeout_ms=POLL_MS) == {}
            assert consumer._coordinator.time_to_next_heartbeat() == 0, "a heartbeat was answered"
        finally:
            kafka.resume()
        assert POLLS <= rounds() <= POLLS * ROUNDS_A_POLL
        read_one(consumer, kafka)
        consumer.close()
