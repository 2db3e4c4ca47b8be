"""Readings from Kafka over the limit of their tenant are slowed: each ends as a prediction."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.integration.stream_bench import StreamBench, stream_bench
from tests.processes import Web, environment, wait_until
from tests.readings import metrics
from tests.services import start_kafka, start_redis

PER_SECOND = 10
READINGS = 60


def of_acme(number: int) -> dict[str, object]:
    return metrics("EVZ-A", total_sessions=number) | {"tenant_id": "acme"}


def shown(bench: StreamBench, word: str) -> bool:
    return word in bench.consumer_state().get("reason", "")


@pytest.mark.owasp("API4", "a tenant cannot take the stream's workers for itself")
def test_readings_over_the_limit_are_slowed_and_none_is_lost(tmp_path: Path) -> None:
    limits = {"ML_TENANT_READINGS_PER_SECOND": str(PER_SECOND)}
    with (
        start_redis() as redis,
        start_kafka() as kafka,
        stream_bench(redis, kafka, tmp_path, **limits) as bench,
        Web(environment(redis.url, **limits)) as web,
    ):
        bench.start_worker()
        bench.start_consumer()
        bench.wait_for_state("running")
        sent = bench.produce(*map(of_acme, range(READINGS)), partition=0)
        others = bench.produce(metrics("EVZ-1") | {"tenant_id": "volt"}, partition=1)
        wait_until(lambda: shown(bench, "over 10 a second"), what="the reason", log=bench.logs)
        assert bench.consumer_state()["state"] == "running"
        bench.read(until=2)
        # Another partition is not held up. Of this one there is more to come.
        bench.read(until=len(bench.event_ids("ml.predictions")) + 1)
        assert set(others) <= bench.event_ids("ml.predictions")
        assert len(bench.event_ids("ml.predictions")) < READINGS
        # The same limit counts for HTTP: what Kafka takes is taken from it.
        health = web.client.get("/health").json()["checks"]["consumer"]
        assert health["status"] == "ok"
        wait_until(lambda: "acme" in str(list(bench.redis.scan_iter("ml:limits:readings:*"))), what="counts")
        bench.read(until=READINGS + 1)
        predicted = [
            orjson.loads(record.value or b"")["source"]["offset"]
            for record in bench.outcomes["ml.predictions"]
            if orjson.loads(record.value or b"")["tenant_id"] == "acme"
        ]
        assert predicted == sorted(predicted)
        assert set(sent) <= bench.event_ids("ml.predictions")
        assert not bench.dead_letters()
        wait_until(lambda: not shown(bench, "a second"), what="the end of the reason", timeout_s=30)
