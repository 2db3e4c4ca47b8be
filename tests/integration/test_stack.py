"""`python -m stack run` as a person meets it: what it says, what it leaves behind.

Real processes on free ports, in a folder of their own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from evzone_ml_client.schemas import KafkaInfo
from stack.demo.api import DemoFailed
from stack.demo.stream import traffic
from stack.local_api import LocalApi
from tests.processes import free_port, settings_for, settings_of, wait_until
from tests.services import start_kafka
from tests.stacks import Stack, open_to_others, stack_in

TOPICS = ("charger.metrics", "ml.predictions")
STOPPED_WITHIN_S = 40
WEB = "granian"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with stack_in(tmp_path) as stack:
        yield stack


def records(consumer: KafkaConsumer, topic: str) -> list[int]:
    """The number of records in each partition of a topic."""
    partitions = consumer.partitions_for_topic(topic) or ()
    return list(consumer.end_offsets([TopicPartition(topic, each) for each in partitions]).values())


@pytest.mark.timeout(320)
def test_run_serves_survives_a_crash_and_leaves_nothing(stack: Stack) -> None:
    process = stack.start()
    stack.wait_until_said("Service is ready")
    assert f"http://localhost:{stack.port}" in stack.said()
    assert "a-key" not in stack.said()  # its output is a file here
    assert open_to_others(stack.folder) == []

    again = stack.run()
    assert again.returncode == 2
    assert again.stdout.startswith(f"The service already runs here (process {process.pid}).")

    # A web process that is killed leaves its own child with the port; the next one must be alone on it.
    before = stack.processes(WEB)
    os.kill(before[0], signal.SIGKILL)
    wait_until(
        lambda: "web ended unexpectedly" in stack.said(), what="word of it", timeout_s=40, log=stack.said
    )
    wait_until(lambda: not set(before) & set(stack.processes(WEB)), what="the end of the old", timeout_s=20)
    api = LocalApi(settings_of(stack.environment))
    wait_until(
        lambda: api.problem("/health/ready") is None,
        what="the new web process",
        timeout_s=60,
        log=stack.said,
    )

    process.send_signal(signal.SIGINT)
    assert process.wait(STOPPED_WITHIN_S) == 0
    assert stack.said().splitlines()[-1].startswith("Everything has stopped")
    assert stack.processes() == []


@pytest.mark.timeout(400)
def test_the_demo_of_a_second_service_uses_its_kafka_and_not_that_of_the_first(stack: Stack) -> None:
    """As `PORT=8101 make demo` does: all settings but the port are those of the first service."""
    stack.start()
    with start_kafka() as first:
        with contextlib.closing(KafkaProducer(bootstrap_servers=first.url)) as producer:  # creates the topics
            for topic in TOPICS:
                producer.send(topic, b"before").get(10)
        stack.wait_until_said("Service is ready")
        port_of_first = first.url.rpartition(":")[2]
        small = ("--sessions", "100", "--chargers", "20", "--days", "6", "--seconds", "4")
        shown = stack.run("demo", *small, timeout_s=150, KAFKA_PORT=port_of_first)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        again = stack.run("demo", *small, KAFKA_PORT=port_of_first)
        assert again.returncode == 1
        assert again.stdout.startswith("The tenant demo has chargers of an earlier demo. Remove them first: ")
        with contextlib.closing(KafkaConsumer(bootstrap_servers=first.url)) as consumer:
            ends = {topic: sum(records(consumer, topic)) for topic in TOPICS}
        assert ends == dict.fromkeys(TOPICS, 1)
    second = f"127.0.0.1:{stack.environment['KAFKA_PORT']}"
    assert f"with Kafka at {second}." in shown.stdout
    said = " ".join(shown.stdout.split())
    # 20 chargers with two readings on each of 6 days.
    assert "100 readings sent to charger.metrics, 100 predictions read from ml.predictions, 0 dead" in said
    assert "240 readings sent to charger.metrics, 240 predictions read from ml.predictions, 0 dead" in said
    assert "340 readings sent, 340 predictions received, 0 dead letters." in said
    assert said.count("IMMEDIATE (act today)") == 1

    api = LocalApi(settings_of(stack.environment))
    of_demo, of_none = (_chargers(api, tenant) for tenant in ("demo", None))
    simulated = [charger for charger in of_demo if charger["charger_id"].startswith("SIM-")]
    assert len(simulated) == 20
    assert all(charger["attributes"]["vendor"] for charger in simulated)
    assert of_none == []

    erased = stack.run("demo-clean", timeout_s=60)
    assert erased.returncode == 0, erased.stdout + erased.stderr
    assert "Erased of the tenant demo: cache " in erased.stdout
    assert "Open alerts in the consumer's memory: erased." in " ".join(erased.stdout.split())
    assert _chargers(api, "demo") == []


def _chargers(api: LocalApi, tenant: str | None) -> list[dict[str, Any]]:
    headers = {"X-API-Key": "a-key"} | ({"X-Tenant-ID": tenant} if tenant else {})
    answer = httpx.get(f"{api.url}/api/v1/chargers?limit=1000", headers=headers)
    items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return items


def test_the_demo_says_that_the_kafka_of_the_service_cannot_be_reached() -> None:
    kafka: KafkaInfo = {
        "bootstrap_servers": [f"127.0.0.1:{free_port()}"],
        "security_protocol": "PLAINTEXT",
        "sasl_mechanism": None,
        "group_id": "evzone-ml",
        "topics": {
            "readings": "charger.metrics",
            "predictions": "ml.predictions",
            "dead_letters": "charger.metrics.dlq",
            "alerts": "charger.failure_alerts",
            "anomalies": "charger.anomalies",
            "ocpp_events": None,
        },
    }
    with (
        pytest.raises(DemoFailed, match="cannot be reached from here") as failure,
        traffic(settings_for("redis://127.0.0.1:1/0"), kafka),
    ):
        pass
    assert kafka["bootstrap_servers"][0] in str(failure.value)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a signal at the parent's death")
def test_kill_minus_nine_of_the_runner_leaves_nothing(stack: Stack) -> None:
    process = stack.start()
    wait_until(lambda: "Redis ready" in stack.said(), what="Redis", timeout_s=40, log=stack.said)
    process.kill()
    process.wait()
    wait_until(lambda: stack.processes() == [], what="the end of all", timeout_s=STOPPED_WITHIN_S)


def test_busy_port_is_one_clear_line_and_nothing_starts(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", stack.port)):
        refused = stack.run()
    assert refused.returncode == 2
    assert refused.stdout.startswith(f"Port {stack.port} is busy (setting PORT): ")
    assert len(refused.stdout.splitlines()) == 1
    assert not (stack.folder / "log" / "web.log").exists()


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "eighty", "Wrong setting: PORT: not a valid integer"),
        ("ML_SERVICE_API_KEY", "", "Wrong setting: ML_SERVICE_API_KEY: must be set"),
        ("FLOWER_BASIC_AUTH", "", "Wrong setting: FLOWER_BASIC_AUTH: must be set"),
    ],
)
def test_wrong_setting_is_one_readable_line(stack: Stack, name: str, value: str, line: str) -> None:
    stack.environment[name] = value
    refused = stack.run()
    assert refused.returncode == 2
    assert (refused.stderr + refused.stdout).startswith(line)
    assert len((refused.stderr + refused.stdout).splitlines()) == 1


@pytest.mark.parametrize(
    ("below", "named", "why"),
    [("", "occupied", "File exists"), ("state", "occupied/state", "Not a directory")],
)
def test_a_state_folder_that_cannot_be_written_is_one_readable_line(
    stack: Stack, below: str, named: str, why: str
) -> None:
    (stack.home / "occupied").write_text("a file")
    stack.environment["STATE_DIR"] = str(stack.home / "occupied" / below)
    refused = stack.run()
    assert (refused.returncode, refused.stderr) == (2, "")
    assert refused.stdout == f"Wrong setting: STATE_DIR: cannot write {stack.home / named}: {why}\n"
