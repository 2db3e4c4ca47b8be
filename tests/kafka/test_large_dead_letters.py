"""A dead letter that is larger than its topic takes goes out shortened, in one transaction with the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from consumers.kafka.records import KEPT_VALUE_BYTES
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, StreamBench, event_id
from tests.kafka.members import bench_on_apache_kafka

LARGE_BYTES = 10_000_000
# An operator's own dead-letter topic takes less than the one that the consumer would create.
MOST_BYTES = 300_000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StreamBench]:
    with bench_on_apache_kafka(tmp_path, max_poll_records=200) as bench:
        admin = KafkaAdminClient(bootstrap_servers=bench.kafka_server.url)
        options = {"num_partitions": 1, "replication_factor": 1}
        limit = {"configs": {"max.message.bytes": str(MOST_BYTES)}}
        admin.create_topics({DEAD_LETTERS: options | limit, INPUT: options})
        admin.close()
        yield bench


@pytest.mark.owasp("API10", "oversized Kafka records become dead letters of 64 kB")
@pytest.mark.timeout(180)
def test_large_records_are_dead_letters_of_64_kb_and_their_neighbours_are_scored(bench: StreamBench) -> None:
    good = orjson.dumps({"charger_id": "C", "connector_status": "CHARGING"})
    # The first is refused by the broker, the second by the client: compressed, it came as 10 kB.
    large = [b"{" * 900_000, b"{" * LARGE_BYTES]
    small = b"{" * 1_000
    bench.start_worker()
    sent = bench.produce(good)
    producer = KafkaProducer(
        bootstrap_servers=bench.kafka_server.url, compression_type="gzip", max_request_size=2 * LARGE_BYTES
    )
    for value in large:
        record = producer.send(INPUT, value, key=b"key", headers=[("trace", b"abc")]).get(10)
        sent.append(f"{INPUT}:{record.partition}:{record.offset}")
    producer.close()
    sent += bench.produce(small, good)
    bench.start_consumer()
    bench.read(until=len(sent), timeout_s=90)
    assert set(bench.predictions()) == {sent[0], sent[-1]}
    letters = {event_id(letter): letter for letter in bench.dead_letters().values()}
    assert set(letters) == set(sent[1:-1])
    # A record of ten megabytes is not even read; the other one is no reading.
    codes = (b"malformed_body", b"record_too_large")
    for place, value, code in zip(sent[1:3], large, codes, strict=True):
        headers = dict(letters[place].headers)
        assert letters[place].value == value[:KEPT_VALUE_BYTES]
        assert headers["x-origin-length"] == str(len(value)).encode()
        assert headers["x-origin-sha256"] == hashlib.sha256(value).hexdigest().encode()
        assert (headers["x-error-code"], headers["trace"]) == (code, b"abc")
    assert letters[sent[3]].value == small
    assert "x-origin-length" not in dict(letters[sent[3]].headers)
