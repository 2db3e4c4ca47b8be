"""`python -m consumers ocpp` against the embedded broker, with real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import orjson
import pytest
from kafka import KafkaConsumer

from settings import read_settings
from tasks.monitoring.service_health import Check, Monitor
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, StreamBench, stream_bench
from tests.processes import wait_until
from tests.services import start_kafka, start_redis
from tests.unit.consumers.ocpp import events as ocpp

EVENTS = "fleet.ocpp"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamBench]:
    folder = tmp_path_factory.mktemp("ocpp")
    with (
        start_redis() as redis,
        start_kafka() as kafka,
        stream_bench(redis, kafka, folder, KAFKA_TOPIC_OCPP=EVENTS) as bench,
    ):
        bench.start("ocpp", ["-m", "consumers", "ocpp"])
        bench.wait_for_state("running")
        yield bench


def send(bench: StreamBench, *documents: ocpp.Document) -> None:
    for document in documents:
        bench.producer.send(EVENTS, orjson.dumps(document), key=b"CP-1")
    bench.producer.flush(10)


def given(bench: StreamBench, topic: str, *, count: int) -> list[bytes]:
    """The values on a topic, once there are `count`."""
    reader = KafkaConsumer(topic, bootstrap_servers=bench.kafka_server.url, auto_offset_reset="earliest")
    found: list[bytes] = []
    deadline = time.monotonic() + 30
    try:
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} on {topic}\n{bench.logs()}"
            for records in reader.poll(timeout_ms=200).values():
                found += [record.value or b"" for record in records]
    finally:
        reader.close()
    return found


def test_events_become_readings_and_what_is_known_outlives_the_process(bench: StreamBench) -> None:
    session = (ocpp.status(0, "Charging"), ocpp.start(1, 1000), ocpp.power(2, 7400))
    send(bench, *session, ocpp.status(3, "Burning"))
    assert [orjson.loads(value) for value in given(bench, INPUT, count=3)] == ocpp.hear(*session)[1]
    assert given(bench, DEAD_LETTERS, count=1) == [orjson.dumps(ocpp.status(3, "Burning"))]
    assert "at least once" in bench.processes[0].log()

    assert bench.processes[0].end(20) == 0
    rest = (ocpp.start(1, 1000), ocpp.register(9, 5000))
    send(bench, *rest)
    bench.start("ocpp", ["-m", "consumers", "ocpp"])
    readings = [orjson.loads(value) for value in given(bench, INPUT, count=4)]
    assert readings[3] == ocpp.hear(*session, *rest)[1][-1]
    assert readings[3]["energy_delivered"] == 4.0


def test_it_is_told_apart_from_the_scoring_consumer(
    bench: StreamBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bench.environment.items():
        monkeypatch.setenv(name, value)
    monitor = Monitor(read_settings(dotenv=None))
    try:
        wait_until(lambda: monitor.snapshot.checks.get("ocpp") == Check("ok", "1 running"), what="the check")
        assert monitor.snapshot.checks["consumer"] == Check("absent", "no Kafka consumer runs")
    finally:
        monitor.close()


def test_it_goes_on_without_redis(bench: StreamBench) -> None:
    bench.redis_server.kill()
    before = len(given(bench, INPUT, count=4))
    send(bench, ocpp.status(20, "Finishing"))
    last = orjson.loads(given(bench, INPUT, count=before + 1)[-1])
    assert last["connector_status"] == "OCCUPIED"
    bench.redis_server.restart()
