"""Readings that upset the process that scores them, sent over HTTP, in a job and in Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import orjson
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.batches import ended, results_of
from tests.faults.services import usual
from tests.host.live_service import FAILURE, LiveService
from tests.http_jobs import submit
from tests.integration.stream_bench import DEAD_LETTERS, INPUT
from tests.processes import wait_until
from tests.readings import metrics, request

# The words of `tests/integration/fragile_app.py`.
KINDS: Final = ("raises", "eats", "kills", "crashes", "hangs")
EVERY_S: Final = 2.0
SETTLED_WITHIN_S: Final = 240.0
# Processes of the rows need a tenth of the default; so the machine keeps the rest.
PROCESS_MEMORY_BYTES: Final = 1_000_000_000


@contextmanager
def with_little_memory(app: str) -> Iterator[LiveService]:
    """A service whose processes may have 1 GB each."""
    with usual(app, {"ML_PROCESS_MEMORY_BYTES": str(PROCESS_MEMORY_BYTES)}) as service:
        yield service


def in_all_ways(service: LiveService, _fault_s: float) -> None:
    """Send one reading of each kind every 2 s by HTTP, as a Kafka record, and in a job of three rows.

    Each worker has one process (`-c 1`). Raises `AssertionError` unless each fails, and fails alone.
    """
    producer = KafkaProducer(bootstrap_servers=service.kafka.url, acks="all")
    jobs, records = dict[str, str](), set[str]()
    for kind in KINDS:
        time.sleep(EVERY_S)
        rows = [metrics(), metrics(**_poison(kind)), metrics()]
        jobs[submit(service.web.client, rows)["job_id"]] = kind
        sent = producer.send(INPUT, orjson.dumps(metrics(**_poison(kind))), key=b"poison").get(10)
        records.add(f"{sent.partition}:{sent.offset}")
        answer = httpx.post(
            service.web.url + FAILURE,
            json=request(**_poison(kind)),
            headers=service.web.client.headers,
            timeout=20,
        )
        # The web process's own models are well, and may score it while no worker is there.
        assert answer.status_code >= 500 or answer.json()["degraded"], f"{kind}: {answer.text}"
    producer.close()
    for job_id, kind in jobs.items():
        ended(service.web.client, job_id, timeout_s=SETTLED_WITHIN_S)
        failed = ["error" in row for row in results_of(service.web.client, job_id)]
        assert failed == [False, True, False], f"{kind}: {failed}"
    wait_until(lambda: records <= _dead(service), what="dead letters", timeout_s=SETTLED_WITHIN_S, poll_s=1)


def _poison(kind: str) -> dict[str, Any]:
    return {"metadata": {"costs": {"fault": kind}}}


def _dead(service: LiveService) -> set[str]:
    """Partition and offset of the records that have a dead letter."""
    consumer = KafkaConsumer(bootstrap_servers=service.kafka.url, auto_offset_reset="earliest")
    try:
        partitions = [
            TopicPartition(DEAD_LETTERS, number)
            for number in consumer.partitions_for_topic(DEAD_LETTERS) or ()
        ]
        if not partitions:
            return set()
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        found = set()
        while polled := consumer.poll(1000):
            for records in polled.values():
                for record in records:
                    headers = dict(record.headers)
                    found.add(
                        b":".join(
                            headers[f"x-origin-{name}"] or b"" for name in ("partition", "offset")
                        ).decode()
                    )
        return found
    finally:
        consumer.close()
