"""Callers of a service under faults: singles, jobs and records, each with what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import orjson
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from tests.batches import results_of
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, PREDICTIONS
from tests.processes import KEY, wait_until
from tests.readings import metrics, request

FAILURE: Final = "/api/v1/predictions/failure"
BATCH: Final = "/api/v1/predictions/batch"
JSON: Final = {"Content-Type": "application/json"}
# The callers' own time-out, as in the clients.
CALL_TIMEOUT_S: Final = 5.0
RETRY_AFTER_S: Final = 0.5
JOB_EVERY_S: Final = 5.0
JOB_ROWS: Final = 500
SEND_EVERY_S: Final = 0.1
SETTLED_WITHIN_S: Final = 90.0
OK: Final = 200
ACCEPTED: Final = 202


@dataclass(frozen=True, slots=True)
class Call:
    """A single prediction. Statuses are 0 without an answer; `began` is in `time.monotonic()` seconds.

    `first` is the status of the first attempt, `final` that of the retry if there was one.
    """

    began: float
    first: int
    final: int
    took_s: float
    is_degraded: bool


@dataclass
class Traffic:
    """Calls to web processes at `urls`, in turn, and records for a broker."""

    urls: list[str]
    kafka: str
    singles_a_second: float
    records_a_second: float
    calls: list[Call] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    refused_jobs: int = 0
    sent: set[str] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it in two threads. On leaving, blocks until the last calls have ended."""
        threads = [threading.Thread(target=run) for run in (lambda: asyncio.run(self._call()), self._produce)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    async def _call(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with (
            httpx.AsyncClient(headers={"X-API-Key": KEY}, limits=limits, timeout=CALL_TIMEOUT_S) as client,
            asyncio.TaskGroup() as group,
        ):
            jobs = group.create_task(self._submit_jobs(client))
            began, number = time.monotonic(), 0
            while not self._stopped.is_set():
                group.create_task(self._predict(client, number))
                number += 1
                # Open loop: slow answers do not slow the callers.
                await asyncio.sleep(max(0.0, began + number / self.singles_a_second - time.monotonic()))
            jobs.cancel()

    async def _predict(self, client: httpx.AsyncClient, number: int) -> None:
        body, began = orjson.dumps(request()), time.monotonic()
        first, is_degraded = await self._attempt(client, self.urls[number % len(self.urls)], body)
        final = first
        if first != OK:
            await asyncio.sleep(RETRY_AFTER_S)
            final, is_degraded = await self._attempt(client, self.urls[(number + 1) % len(self.urls)], body)
        self.calls.append(Call(began, first, final, time.monotonic() - began, is_degraded))

    async def _attempt(self, client: httpx.AsyncClient, url: str, body: bytes) -> tuple[int, bool]:
        try:
            answer = await client.post(url + FAILURE, content=body, headers=JSON)
        except httpx.HTTPError:
            return 0, False
        return answer.status_code, answer.status_code == OK and answer.json()["degraded"]

    async def _submit_jobs(self, client: httpx.AsyncClient) -> None:
        number = 0
        while True:
            body = orjson.dumps({"chargers": [metrics() for _ in range(JOB_ROWS)]})
            key = {"Idempotency-Key": uuid.uuid4().hex}
            for _ in range(20):
                number += 1
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.post(
                        self.urls[number % len(self.urls)] + BATCH, content=body, headers=JSON | key
                    )
                    if answer.status_code == ACCEPTED:
                        self.accepted.append(answer.json()["job_id"])
                        break
                self.refused_jobs += 1
                await asyncio.sleep(RETRY_AFTER_S)
            await asyncio.sleep(JOB_EVERY_S)

    def _produce(self) -> None:
        producer = KafkaProducer(bootstrap_servers=self.kafka, max_block_ms=5000, acks="all")
        futures = []
        while not self._stopped.wait(SEND_EVERY_S):
            for _ in range(round(self.records_a_second * SEND_EVERY_S)):
                row = metrics()
                with contextlib.suppress(KafkaError):
                    futures.append(producer.send(INPUT, orjson.dumps(row), key=row["charger_id"].encode()))
        for future in futures:
            with contextlib.suppress(KafkaError):  # not acknowledged: nothing is promised
                record = future.get(30)
                self.sent.add(f"{INPUT}:{record.partition}:{record.offset}")
        producer.close()

    def lost_jobs(self) -> int:
        """The number of accepted jobs without a result for each row, once. Blocks 90 s at most."""
        with httpx.Client(base_url=self.urls[0], headers={"X-API-Key": KEY}, timeout=10) as client:
            return sum(not _is_whole(client, job_id) for job_id in self.accepted)

    def lost_records(self) -> int:
        """The number of acknowledged records without an outcome. Blocks 90 s at most."""
        seen: Counter[str] = Counter()
        consumer = KafkaConsumer(bootstrap_servers=self.kafka, isolation_level="read_committed")
        try:
            consumer.assign(
                [
                    TopicPartition(topic, partition)
                    for topic in (PREDICTIONS, DEAD_LETTERS)
                    for partition in consumer.partitions_for_topic(topic) or ()
                ]
            )
            consumer.seek_to_beginning()
            deadline = time.monotonic() + SETTLED_WITHIN_S
            while self.sent - seen.keys() and time.monotonic() < deadline:
                for records in consumer.poll(500).values():
                    seen.update(_event_id(record) for record in records)
        finally:
            consumer.close()
        return len(self.sent - seen.keys())


def _is_whole(client: httpx.Client, job_id: str) -> bool:
    def ended() -> dict[str, Any]:
        with contextlib.suppress(httpx.HTTPError):
            answer = client.get(f"/api/v1/jobs/{job_id}")
            if answer.status_code == OK and answer.json()["finished_at"]:
                return dict(answer.json())
        return {}

    try:
        document = wait_until(ended, what=job_id, timeout_s=SETTLED_WITHIN_S)
    except AssertionError:
        return False
    rows = [result["row"] for result in results_of(client, job_id)]
    return document["failed"] == 0 and rows == list(range(JOB_ROWS))


def _event_id(record: Any) -> str:
    """The input record of an outcome."""
    if record.topic == PREDICTIONS:
        return str(orjson.loads(record.value)["event_id"])
    headers = dict(record.headers)
    return ":".join(headers[f"x-origin-{name}"].decode() for name in ("topic", "partition", "offset"))
