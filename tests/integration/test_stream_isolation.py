"""A broker that does not isolate transactions: used at least once by default, refused on demand.

The embedded broker is one: it takes transactions, and shows readers what was aborted.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stream_bench import StreamBench, stream_bench
from tests.processes import wait_until
from tests.services import start_kafka, start_redis


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StreamBench]:
    with start_redis() as redis, start_kafka() as kafka, stream_bench(redis, kafka, tmp_path) as bench:
        yield bench


def test_by_default_it_is_used_at_least_once_and_that_is_said(bench: StreamBench) -> None:
    del bench.environment["KAFKA_TRANSACTIONS"]
    consumer = bench.start_consumer()
    wait_until(lambda: "delivery: at least once" in consumer.log(), what="the start", log=consumer.log)
    lines = [json.loads(line) for line in consumer.log().splitlines() if line.startswith("{")]
    (warning,) = [line for line in lines if "Going on without transactions" in line["event"]]
    member_id = (bench.folder / "consumers" / "member_id").read_text().strip()
    assert member_id.startswith(f"{socket.gethostname()}-")
    assert warning["member"] == f"evzone-ml-{member_id}-0"
    assert not consumer.has_ended()


def test_where_transactions_are_demanded_it_is_refused(bench: StreamBench) -> None:
    bench.environment["KAFKA_TRANSACTIONS"] = "on"
    consumer = bench.start_consumer()
    wait_until(consumer.has_ended, what="the end", log=consumer.log)
    assert consumer.process.returncode == 1
    assert "KAFKA_TRANSACTIONS=true refuses this broker" in consumer.log()
