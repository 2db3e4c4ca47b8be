"""A resumed partition goes on: kafka-python's own consumer may not (see `consumers/kafka/clients.py`)."""

from __future__ import annotations

import time

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from consumers.kafka.clients import Consumer
from tests.services import start_kafka

P0, P1 = TopicPartition("paused", 0), TopicPartition("paused", 1)


def test_a_partition_paused_halfway_through_a_fetch_goes_on_when_resumed() -> None:
    with start_kafka() as kafka:
        admin = KafkaAdminClient(bootstrap_servers=kafka.url)
        admin.create_topics({"paused": {"num_partitions": 2, "replication_factor": 1}})
        admin.close()
        producer = KafkaProducer(bootstrap_servers=kafka.url)
        for partition, count in ((0, 1000), (1, 300)):
            for _ in range(count):
                producer.send("paused", b"x", partition=partition)
        producer.close()
        consumer = Consumer(
            bootstrap_servers=kafka.url,
            auto_offset_reset="earliest",
            max_poll_records=200,
            fetch_max_wait_ms=50,
        )
        consumer.assign([P0, P1])
        got = {P0: 0, P1: 0}

        def poll_until(partition: TopicPartition, count: int) -> None:
            deadline = time.monotonic() + 10
            while got[partition] < count and time.monotonic() < deadline:
                for tp, records in consumer.poll(timeout_ms=100).items():
                    got[tp] += len(records)

        poll_until(P0, 1)
        consumer.pause(P0)
        poll_until(P1, 300)
        consumer.resume(P0)
        poll_until(P0, 1000)
        consumer.close()
    assert got == {P0: 1000, P1: 300}
