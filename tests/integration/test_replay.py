"""`python -m consumers replay` against a broker: all of it, a part of it, and stopped half way."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from kafka import KafkaConsumer
from kafka.consumer.fetcher import ConsumerRecord

from readings.parsing import parse_reading
from settings import ROOT
from tests.integration.stream_bench import INPUT
from tests.processes import environment
from tests.services import RunningServer, start_kafka

SAMPLE = "stack/sample/sessions.csv.gz"
COMMAND = [sys.executable, "-m", "consumers", "replay"]


@pytest.fixture
def kafka() -> Iterator[RunningServer]:
    with start_kafka() as server:
        yield server


def run(kafka: RunningServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = environment("redis://127.0.0.1:1/0", KAFKA_BOOTSTRAP_SERVERS=kafka.url, KAFKA_TRANSACTIONS="off")
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def sent(kafka: RunningServer, *, until: int) -> list[ConsumerRecord]:
    """What is on the input topic, at least `until` records."""
    reader = KafkaConsumer(INPUT, bootstrap_servers=kafka.url, auto_offset_reset="earliest")
    found: list[ConsumerRecord] = []
    deadline = time.monotonic() + 30
    try:
        while len(found) < until and time.monotonic() < deadline:
            for records in reader.poll(timeout_ms=200).values():
                found.extend(records)
    finally:
        reader.close()
    return found


def test_the_sample_goes_out_as_readings_up_to_now(kafka: RunningServer) -> None:
    before = datetime.now(UTC)
    done = run(kafka, SAMPLE, "--speed", "max", "--limit", "3000")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Sent 3,000 of 3,000 readings to charger.metrics at ")
    records = sent(kafka, until=3000)
    assert len(records) == 3000
    now = datetime.now(UTC)
    readings = [parse_reading(orjson.loads(record.value or b""), now=now) for record in records]
    assert {record.key for record in records} == {reading.charger_id.encode() for reading in readings}
    newest = max(reading.timestamp for reading in readings)
    assert before < newest < now


def test_a_simulated_fleet_is_replayed_as_it_is(kafka: RunningServer, tmp_path: Path) -> None:
    subprocess.run(
        [*COMMAND[:2], "models", "simulate", "--chargers", "3", "--days", "2", "--out", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    done = run(kafka, str(tmp_path), "--speed", "0", "--no-shift-to-now", "--tenant", "acme")
    assert done.stdout.startswith("Sent 12 of 12 readings to charger.metrics at "), done.stderr
    readings = [orjson.loads(record.value or b"") for record in sent(kafka, until=12)]
    assert {reading["charger_id"] for reading in readings} == {"SIM-00000", "SIM-00001", "SIM-00002"}
    assert {reading["timestamp"][:8] for reading in readings} == {"2025-01-"}
    assert {reading["tenant_id"] for reading in readings} == {"acme"}
    assert sum("attributes" in reading.get("metadata", {}) for reading in readings) == 3


def test_rows_that_are_left_out_are_told_by_the_exit_code(kafka: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    file.write_text(
        "charger_id,connector_status,timestamp\nA,Charging,2026-01-05T10:00:00Z\n"
        "A,SINGING,2026-01-05T10:00:00Z\nA,Charging,\nA,HUMMING,2026-01-06T10:00:00Z\n"
    )
    done = run(kafka, str(file), "--speed", "max")
    assert done.returncode == 1, done.stderr
    sent, untimed, refused = done.stdout.splitlines()
    assert sent.startswith("Sent 1 of 3 readings to charger.metrics at ")
    assert untimed == "Skipped 1 row: timestamp is missing."
    assert refused.startswith(
        "Skipped 2 rows without a reading, like A: /connector_status: Not a connector status"
    )


def test_a_session_of_0_minutes_costs_one_row(kafka: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "sessions.csv"
    file.write_text(
        "charger_id,ended_at,minutes,kwh,session_number\nA,2026-01-05T10:00:00Z,0,0.0,1\n"
        "A,2026-01-05T11:00:00Z,30,5.5,2\n"
    )
    done = run(kafka, str(file), "--speed", "max")
    assert done.returncode == 1, done.stderr
    sent, refused = done.stdout.splitlines()
    assert sent.startswith("Sent 1 of 1 reading to charger.metrics at ")
    assert refused == ("Skipped 1 row without a reading, like row 1: minutes is 0, and must be more than 0")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--speed", "fast"), "argument --speed: must be a number of 0 or more, or max, not 'fast'"),
        (("--speed", "-1"), "argument --speed: must be a number of 0 or more, or max, not '-1'"),
        (("--since", "noon"), "argument --since: must be a time in ISO 8601, like 2026-11-20"),
        (("--limit", "x"), "argument --limit: must be a whole number of at least 1, not 'x'"),
        (("--limit", "0"), "argument --limit: must be a whole number of at least 1, not '0'"),
        (("--tenant", "a b"), "argument --tenant: must be 1 to 64 characters of A-Z a-z 0-9 _ -, not 'a b'"),
    ],
)
def test_wrong_usage_says_what_is_wanted(arguments: tuple[str, str], said: str) -> None:
    done = subprocess.run(
        [*COMMAND, SAMPLE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr


def test_ctrl_c_says_how_many_were_sent(kafka: RunningServer) -> None:
    """At one tenth of life's speed the sample's second reading is weeks away."""
    env = environment("redis://127.0.0.1:1/0", KAFKA_BOOTSTRAP_SERVERS=kafka.url, KAFKA_TRANSACTIONS="off")
    process = subprocess.Popen(
        [*COMMAND, SAMPLE, "--speed", "0.1"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert len(sent(kafka, until=1)) == 1
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert out.startswith("Sent 1 of 31,998 readings to charger.metrics at ")


def test_without_kafka_it_says_so(tmp_path: Path) -> None:
    env = environment("redis://127.0.0.1:1/0")
    done = subprocess.run(
        [*COMMAND, SAMPLE], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Kafka at 127.0.0.1:1: ")
    assert "Traceback" not in done.stderr
