"""Records that end the consumer process, on real servers: each costs three processes and nothing else."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from kafka import KafkaProducer

from consumers.kafka.crash_journal import MOST_DEATHS
from tests.integration.deadly_consumer import KILLS
from tests.integration.stream_bench import INPUT, StreamBench, event_id, stream_bench
from tests.processes import Process
from tests.readings import metrics
from tests.services import start_kafka, start_redis

BOMB_BYTES = 500_000_000
# Each fits into the limit of a batch. All of them, in one poll, would need 1.5 GB.
RECORD_BYTES = 30_000_000
BOMBS = 50
MOST_PEAK_KB = 500_000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StreamBench]:
    with (
        start_redis() as redis,
        start_kafka() as kafka,
        stream_bench(redis, kafka, tmp_path, KAFKA_TOPIC_PARTITIONS="2") as bench,
    ):
        bench.start_worker()
        yield bench


@contextmanager
def always_restarted(bench: StreamBench, *arguments: str) -> Iterator[list[Process]]:
    """The processes of a consumer that is started again whenever it ends, as a supervisor does."""
    started = [bench.start("consumer", ["-m", "tests.integration.deadly_consumer", *arguments])]
    over = threading.Event()

    def monitor() -> None:
        while not over.wait(0.1):
            if started[-1].has_ended():
                started.append(
                    bench.start("consumer", ["-m", "tests.integration.deadly_consumer", *arguments])
                )

    thread = threading.Thread(target=monitor)
    thread.start()
    try:
        yield started
    finally:
        over.set()
        thread.join()


def reading(charger_id: str) -> bytes:
    return orjson.dumps(metrics(charger_id))


@pytest.mark.owasp("API10", "a Kafka record that ends its process is a dead letter after three times")
def test_a_record_that_kills_the_consumer_is_a_dead_letter_after_the_third_death(bench: StreamBench) -> None:
    deadly = b'{"charger_id":"%b"}' % KILLS
    with always_restarted(bench) as processes:
        bench.wait_for_state("running", timeout_s=60)
        good = bench.produce(*[reading(f"C{number}") for number in range(5)], partition=0)
        (bad,) = bench.produce(deadly, partition=0)
        good += bench.produce(*[reading(f"C{number}") for number in range(5)], partition=0)
        good += bench.produce(*[reading(f"C{number}") for number in range(5)], partition=1)
        bench.read(until=len(good) + 1, timeout_s=120)
    assert set(bench.predictions()) == set(good)
    (letter,) = bench.dead_letters().values()
    assert (event_id(letter), letter.value) == (bad, deadly)
    headers = dict(letter.headers)
    assert (headers["x-error-code"], headers["x-attempts"]) == (b"process_died", b"3")
    assert len(processes) == MOST_DEATHS + 1


@pytest.mark.owasp("API10", "a Kafka batch larger than the memory ends no process")
def test_a_batch_that_does_not_fit_into_the_memory_ends_no_process(
    bench: StreamBench,
) -> None:
    # The stacks and malloc arenas of the threads count too.
    bench.environment["SPARE_MB"] = "440"
    bomb = KafkaProducer(
        bootstrap_servers=bench.kafka_server.url,
        compression_type="zstd",
        max_request_size=2 * BOMB_BYTES,
    )
    with always_restarted(bench) as processes:
        bench.wait_for_state("running", timeout_s=60)
        good = bench.produce(*[reading(f"C{number}") for number in range(5)], partition=0)
        bad = bomb.send(INPUT, bytes(BOMB_BYTES), key=b"key", partition=0).get(30)
        bomb.close()
        good += bench.produce(*[reading(f"C{number}") for number in range(5)], partition=0)
        good += bench.produce(*[reading(f"C{number}") for number in range(5)], partition=1)
        bench.read(until=len(good) + 1, timeout_s=120)
    assert set(bench.predictions()) == set(good)
    (letter,) = bench.dead_letters().values()
    assert event_id(letter) == f"{INPUT}:0:{bad.offset}"
    assert dict(letter.headers)["x-error-code"] == b"unreadable_record"
    assert len(processes) == 1


@pytest.mark.owasp(
    "API10", "fifty Kafka records of 30 MB in one poll end as dead letters of 64 kB, and no process"
)
def test_large_records_in_one_poll_end_no_process(bench: StreamBench) -> None:
    bench.environment["ML_PROCESS_MEMORY_BYTES"] = "1000000000"
    value = bytes(RECORD_BYTES)
    bombs = KafkaProducer(
        bootstrap_servers=bench.kafka_server.url,
        compression_type="zstd",
        max_request_size=2 * RECORD_BYTES,
    )
    good = bench.produce(*[reading(f"C{number}") for number in range(5)], partition=0)
    bad = []
    for _ in range(BOMBS):
        sent = bombs.send(INPUT, value, key=b"key", partition=0).get(30)
        bad.append(f"{INPUT}:0:{sent.offset}")
    bombs.close()
    good += bench.produce(*[reading(f"C{number}") for number in range(5)], partition=0)
    consumer = bench.start_consumer()
    bench.read(until=len(good) + len(bad), timeout_s=120)
    assert set(bench.predictions()) == set(good)
    letters = {event_id(letter): letter for letter in bench.dead_letters().values()}
    assert set(letters) == set(bad)
    for letter in letters.values():
        headers = dict(letter.headers)
        assert headers["x-error-code"] == b"record_too_large"
        assert headers["x-origin-length"] == str(RECORD_BYTES).encode()
        assert headers["x-origin-sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert not consumer.has_ended()
    assert consumer.peak_kb() < MOST_PEAK_KB
