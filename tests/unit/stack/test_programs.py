"""What `make run` starts follows the settings."""

from __future__ import annotations

import pytest

from settings import read_settings
from stack.programs import programs, shared_environment


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC_OCPP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_SERVICE_API_KEY", "k" * 20)
    return monkeypatch


def names() -> set[str]:
    return {program.name for program in programs(read_settings(dotenv=None))}


def test_the_ocpp_process_runs_where_its_topic_is_named(environment: pytest.MonkeyPatch) -> None:
    without = names()
    environment.setenv("KAFKA_TOPIC_OCPP", "ocpp.events")
    assert names() - without == {"ocpp"}


def test_embedded_servers_run_where_no_other_is_named(environment: pytest.MonkeyPatch) -> None:
    assert {"redis", "kafka"} <= names()
    environment.setenv("REDIS_URL", "redis://redis:6379/0")
    environment.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    assert not {"redis", "kafka"} & names()


@pytest.mark.parametrize(("wanted", "written"), [("auto", "text"), ("json", "json"), ("text", "text")])
def test_log_files_are_text_unless_json_is_wanted(
    environment: pytest.MonkeyPatch, wanted: str, written: str
) -> None:
    environment.setenv("LOG_FORMAT", wanted)
    assert shared_environment(read_settings(dotenv=None))["LOG_FORMAT"] == written
