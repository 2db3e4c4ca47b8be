"""A transaction that gets no answer keeps no thread (see `consumers/kafka/clients.py`)."""

from __future__ import annotations

import threading
from typing import Final

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError

from consumers.kafka import clients
from settings.environment import read_settings
from tests.processes import KEY, wait_until
from tests.services import start_kafka

TOPIC: Final = "deadline"
WAIT_MS: Final = 1_000


def test_a_commit_without_an_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with start_kafka() as kafka:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.url)
        monkeypatch.setenv("ML_SERVICE_API_KEY", KEY)
        monkeypatch.setattr(clients, "TRANSACTION_TIMEOUT_MS", WAIT_MS)
        clients.ensure_topics(read_settings(dotenv=None), {TOPIC: clients.ORDINARY})
        producer = clients.make_producer(read_settings(dotenv=None), transactional_id="one")
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(TOPIC, b"x").get(10)
        kafka.stop()
        failed: list[KafkaError] = []

        def commit() -> None:
            try:
                producer.commit_transaction()
            except KafkaError as error:
                failed.append(error)

        waiting = threading.Thread(target=commit, daemon=True)
        waiting.start()
        clients.discard(producer)
        wait_until(lambda: not waiting.is_alive(), what="the end of the commit")
        assert [type(error) for error in failed] == [KafkaTimeoutError]
