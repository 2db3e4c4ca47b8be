"""`GET /api/v1/service`: what a caller is told, and what nobody is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from settings import read_settings
from tests.processes import KEY, READ_KEY, environment
from web.app import create_app

PATH = "/api/v1/service"
SECRET = "never-shown"
# Redis cannot be reached there: these tests need none.
REDIS = f"redis://{SECRET}:{SECRET}@127.0.0.1:1/0"
SECURED = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka-1.example.com:9093, kafka-2.example.com:9093",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
    "KAFKA_SASL_USERNAME": SECRET,
    "KAFKA_SASL_PASSWORD": SECRET,
    "FLOWER_BASIC_AUTH": f"{SECRET}:{SECRET}",
    "KAFKA_TOPIC_METRICS": "readings",
    "KAFKA_TOPIC_OCPP": "ocpp",
    "KAFKA_GROUP_ID": "the-service",
}


def service(monkeypatch: pytest.MonkeyPatch, **extra: str) -> FlaskClient:
    for name, value in environment(REDIS, **extra).items():
        monkeypatch.setenv(name, value)
    return create_app(read_settings(dotenv=None)).test_client()


def told(client: FlaskClient, key: str = KEY) -> dict[str, Any]:
    answer = client.get(PATH, headers={"X-API-Key": key})
    assert answer.status_code == 200
    document: dict[str, Any] = json.loads(answer.data)
    return document


def test_a_caller_is_told_brokers_topics_and_group(monkeypatch: pytest.MonkeyPatch) -> None:
    document = told(service(monkeypatch, **SECURED), READ_KEY)
    assert document["service"] == "evzone-ml-service"
    assert document["kafka"] == {
        "bootstrap_servers": ["kafka-1.example.com:9093", "kafka-2.example.com:9093"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "group_id": "the-service",
        "topics": {
            "readings": "readings",
            "predictions": "ml.predictions",
            "dead_letters": "charger.metrics.dlq",
            "alerts": "charger.failure_alerts",
            "anomalies": "charger.anomalies",
            "ocpp_events": "ocpp",
        },
    }


def test_no_key_password_or_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = str(told(service(monkeypatch, **SECURED)))
    assert SECRET not in shown
    assert KEY not in shown


def test_without_sasl_and_ocpp_both_are_null(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = told(service(monkeypatch, KAFKA_SASL_MECHANISM="PLAIN"))["kafka"]
    assert (kafka["sasl_mechanism"], kafka["topics"]["ocpp_events"]) == (None, None)


def test_nobody_without_a_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert service(monkeypatch).get(PATH).status_code == 401
