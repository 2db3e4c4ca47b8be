"""TLS and passwords, by settings alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka.errors import KafkaError

from consumers.kafka.clients import ensure_topics, make_consumer, make_producer, scoring_topics
from settings import Settings, read_settings
from tests.kafka import broker


@pytest.fixture(scope="module")
def kafka() -> Iterator[broker.ApacheKafka]:
    broker.require()
    with broker.ApacheKafka(secure=True) as kafka:
        yield kafka


def settings(monkeypatch: pytest.MonkeyPatch, kafka: broker.ApacheKafka, **changes: str) -> Settings:
    values = {
        "ML_SERVICE_API_KEY": "k" * 20,
        "MODEL_DIR": "/",
        "KAFKA_BOOTSTRAP_SERVERS": kafka.secure_url,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SSL_CAFILE": str(kafka.cafile),
        "KAFKA_SASL_USERNAME": broker.USER,
        "KAFKA_SASL_PASSWORD": broker.PASSWORD,
    }
    for name, value in (values | changes).items():
        monkeypatch.setenv(name, value)
    return read_settings(dotenv=None)


@pytest.mark.owasp("API8", "a broker whose certificate or login does not fit is not talked to")
@pytest.mark.parametrize(
    "changes",
    [{"KAFKA_SASL_PASSWORD": "another"}, {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, {"KAFKA_SSL_CAFILE": ""}],
)
def test_anything_else_does_not(
    kafka: broker.ApacheKafka, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    with pytest.raises(KafkaError):
        make_producer(settings(monkeypatch, kafka, **changes))


# After the refusals: pytest keeps what a test has logged, the sockets too, until the next test of its file.
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_password_opens_the_door(
    kafka: broker.ApacheKafka, monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    with_password = settings(monkeypatch, kafka, KAFKA_SASL_MECHANISM=mechanism)
    ensure_topics(with_password, scoring_topics(with_password))
    producer = make_producer(with_password)
    assert producer.send(with_password.kafka_topic_metrics, b"x").get(10).offset >= 0
    producer.close()
    consumer = make_consumer(with_password)
    assert consumer.partitions_for_topic(with_password.kafka_topic_metrics)
    consumer.close()
