"""Readings in, outcomes out, with real processes: and nothing lost when one of them goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from tests.integration.stream_bench import ALERTS, DEAD_LETTERS, PREDICTIONS, StreamBench, stream_bench
from tests.processes import wait_until
from tests.readings import metrics
from tests.services import start_kafka, start_redis

FUTURE = (datetime.now(UTC) + timedelta(days=2)).isoformat()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamBench]:
    folder = tmp_path_factory.mktemp("stream")
    with start_redis() as redis, start_kafka() as kafka, stream_bench(redis, kafka, folder) as bench:
        bench.start_worker()
        bench.start_consumer()
        bench.wait_for_state("running")
        yield bench


BAD: dict[str, tuple[object, str]] = {
    "not JSON": (b"{bad", "malformed_body"),
    "not UTF-8": (b"\xff\xfe\x00\x01", "malformed_body"),
    "no bytes at all": (None, "malformed_body"),
    "an array": ([metrics("EVZ-1")], "invalid_reading"),
    "no status": ({"charger_id": "EVZ-1"}, "invalid_reading"),
    "an unknown status": (metrics("EVZ-1", connector_status="BURNING"), "invalid_reading"),
    "a number as text": (metrics("EVZ-1", temperature="41.5"), "invalid_reading"),
    "not a number": (b'{"charger_id":"E","connector_status":"CHARGING","power":NaN}', "invalid_reading"),
    "from the future": (metrics("EVZ-1", timestamp=FUTURE), "invalid_reading"),
    "two chargers in one": ({"charger_id": "EVZ-2", "metrics": metrics("EVZ-1")}, "invalid_reading"),
    "a tenant with blanks": (metrics("EVZ-1") | {"tenant_id": "a b"}, "invalid_reading"),
    "a charger with blanks": (metrics("EVZ 1"), "invalid_reading"),
}


@pytest.mark.owasp("API10", "Kafka records that are no readings become dead letters")
def test_every_reading_ends_as_prediction_or_dead_letter(bench: StreamBench) -> None:
    bad = {name: bench.produce(value, partition=0)[0] for name, (value, _) in BAD.items()}
    good = bench.produce(*(metrics("EVZ-1", temperature=20.0 + n) for n in range(50)), partition=0)
    (enveloped,) = bench.produce({"charger_id": "EVZ-9", "metrics": metrics("EVZ-9"), "operator_id": "acme"})
    (faulty,) = bench.produce(metrics("EVZ-8", connector_status="Faulted", error_codes=["GroundFailure"]))
    bench.read(until=len(bad) + len(good) + 2)

    letters, predictions = bench.dead_letters(), bench.predictions()
    assert set(letters) == set(bad.values())
    assert set(predictions) == {*good, enveloped, faulty}
    for name, event_id in bad.items():
        value, code = BAD[name]
        headers = dict(letters[event_id].headers)
        assert letters[event_id].key == b"key"
        assert letters[event_id].value == (orjson.dumps(value) if isinstance(value, dict | list) else value)
        assert headers["x-error-code"] == code.encode(), name
        assert headers["trace"] == b"abc"
        assert headers["x-attempts"] == b"1"
        assert headers["x-error-reason"]

    prediction = predictions[enveloped]
    assert (prediction["charger_id"], prediction["tenant_id"]) == ("EVZ-9", "acme")
    assert 0 <= prediction["failure_probability"] <= 1
    assert f"{prediction['source']['topic']}:{prediction['source']['partition']}" in enveloped
    assert bench.redis.get("ml:tenant:acme:prediction:failure:EVZ-9") is not None
    assert predictions[faulty]["in_failure"] is True

    bench.read(until=1, topics=(ALERTS,))
    assert faulty in bench.event_ids(ALERTS)


def test_dead_letters_are_listed_and_put_back(bench: StreamBench) -> None:
    before = len(bench.event_ids(DEAD_LETTERS))
    listed = bench.run("replay-dlq", "--code", "malformed_body")
    assert "3 dead letters: malformed_body 3." in listed
    place = next(line.split()[0] for line in listed.splitlines() if "not JSON" in line)
    assert "Replayed 1 of them to Kafka at " in bench.run("replay-dlq", "--place", place, "--replay")
    bench.read(until=before + 1, topics=(DEAD_LETTERS,))
    repeated = bench.run("replay-dlq", "--place", place, "--replay")
    assert "Replayed 0 of them" in repeated
    assert "Left out 1 dead letter: replayed before." in repeated
    assert "Replayed 1 of them" in bench.run("replay-dlq", "--place", place, "--replay", "--again")
    bench.read(until=before + 2, topics=(DEAD_LETTERS,))
    again = bench.outcomes[DEAD_LETTERS][-1]
    headers = dict(again.headers)
    assert headers["x-replayed-from"] == f"{DEAD_LETTERS}:{place}".encode()
    assert headers["trace"] == b"abc"
    assert [name for name, _ in again.headers].count("x-error-code") == 1


def test_predictions_of_a_charger_come_in_its_order(bench: StreamBench) -> None:
    before = len(bench.event_ids(PREDICTIONS, DEAD_LETTERS))
    for turn in range(5):
        for charger in range(8):
            values = [metrics(f"O-{charger}", total_sessions=turn * 10 + n) for n in range(10)]
            bench.produce(*values, key=f"O-{charger}".encode())
    bench.read(until=before + 400)
    orders: dict[bytes, list[tuple[int, int]]] = {}
    for record in bench.outcomes[PREDICTIONS]:
        source = orjson.loads(record.value or b"")["source"]
        orders.setdefault(record.key or b"", []).append((source["partition"], source["offset"]))
    for charger in range(8):
        offsets = [offset for _, offset in orders[f"O-{charger}".encode()]]
        assert len(offsets) == 50
        assert offsets == sorted(offsets)


def test_a_killed_worker_is_waited_for(bench: StreamBench) -> None:
    before = len(bench.event_ids(PREDICTIONS, DEAD_LETTERS))
    bench.processes[0].kill()
    sent = bench.produce(*(metrics(f"W-{n}") for n in range(20)))
    paused = bench.wait_for_state("paused")
    assert "ml.stream" in paused["reason"]
    bench.start_worker()
    bench.read(until=before + 20, timeout_s=60)
    assert set(sent) <= set(bench.predictions())
    assert bench.wait_for_state("running")["reason"] == ""


def test_redis_down_pauses_and_nothing_is_lost(bench: StreamBench) -> None:
    before = len(bench.event_ids(PREDICTIONS, DEAD_LETTERS))
    bench.redis_server.kill()
    sent = bench.produce(*(metrics(f"R-{n}") for n in range(20)))
    consumer = bench.processes[1]
    wait_until(lambda: "Redis cannot be reached" in consumer.log(), what="the pause", log=bench.logs)
    bench.redis_server.restart()
    bench.read(until=before + 20, timeout_s=60)
    assert set(sent) <= set(bench.predictions())


def test_a_stop_commits_and_the_next_run_goes_on_from_there(bench: StreamBench) -> None:
    bench.wait_for_state("running")
    outcomes = sum(len(records) for topic, records in bench.outcomes.items() if topic != ALERTS)
    consumer = bench.processes[1]
    assert consumer.end(10) == 0
    assert bench.redis.hgetall("ml:consumers") == {}
    assert bench.committed() == len(bench.event_ids(PREDICTIONS, DEAD_LETTERS))
    sent = bench.produce(metrics("S-1"))
    bench.start_consumer()
    before = len(bench.event_ids(PREDICTIONS, DEAD_LETTERS))
    bench.read(until=before + 1)
    assert set(sent) <= set(bench.predictions())
    assert outcomes


def test_kafka_gone_and_back(bench: StreamBench, tmp_path: Path) -> None:
    """The embedded broker forgets everything when it stops, topics too: the consumer makes them again."""
    consumer = bench.processes[-1]
    bench.close_clients()
    bench.kafka_server.kill()
    gone = bench.wait_for_state("disconnected")
    assert bench.kafka_server.url in gone["reason"]
    time.sleep(3)
    assert consumer.log().count("disconnected: Kafka") == 1
    bench.kafka_server.restart()
    bench.wait_for_state("running")
    with stream_bench(bench.redis_server, bench.kafka_server, tmp_path) as fresh:
        sent = fresh.produce(metrics("K-1"))
        fresh.read(until=1)
        assert fresh.event_ids(PREDICTIONS) == set(sent)
    assert not consumer.has_ended()
