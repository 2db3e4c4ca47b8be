"""A whole stream for tests: embedded Redis and Kafka, a real worker, a real consumer process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from redis import Redis

from settings import ROOT
from tests.processes import Process, wait_until
from tests.services import RunningServer

INPUT: Final = "charger.metrics"
PREDICTIONS: Final = "ml.predictions"
DEAD_LETTERS: Final = "charger.metrics.dlq"
ALERTS: Final = "charger.failure_alerts"
ANOMALIES: Final = "charger.anomalies"


class StreamBench:
    """`read` gathers what comes out; everything is stopped by the owner of the servers and processes."""

    def __init__(
        self,
        redis: RunningServer,
        kafka: RunningServer,
        folder: Path,
        *,
        python: str = sys.executable,
        **settings: str,
    ) -> None:
        self.python = python
        self.redis_server, self.kafka_server, self.folder = redis, kafka, folder
        self.redis: Redis = Redis.from_url(redis.url)
        self.environment = {
            **os.environ,
            "ENVIRONMENT": "test",
            "ML_SERVICE_API_KEY": "stream-test-key",
            "REDIS_URL": redis.url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.url,
            "KAFKA_TRANSACTIONS": "off",  # the embedded broker does not isolate them
            "STATE_DIR": str(folder),
            "OMP_NUM_THREADS": "1",
            **settings,
        }
        self.environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        self.processes: list[Process] = []
        self.outcomes: dict[str, list[ConsumerRecord]] = {}
        self._reader: KafkaConsumer | None = None
        self._producer: KafkaProducer | None = None

    def start_worker(self, name: str = "stream@test", app: str = "tasks.worker.app") -> Process:
        options = ["-P", "prefork", "-c", "1", "--without-gossip", "--without-mingle"]
        command = ["-m", "celery", "-A", app, "worker", "-Q", "ml.stream", "-n", name]
        return self.start("worker", command + options)

    def start_consumer(self) -> Process:
        return self.start("consumer", ["-m", "consumers"])

    def run(self, *arguments: str) -> str:
        """Run a command of the consumer to its end; what it printed."""
        command = [self.python, "-m", "consumers", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str, arguments: list[str]) -> Process:
        """Start a process of ours, with Python's arguments."""
        command = [self.python, *arguments]
        log_file = self.folder / f"{name}-{len(self.processes)}.log"
        process = Process(command, self.environment, log_file=log_file)
        self.processes.append(process)
        return process

    @property
    def producer(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = KafkaProducer(bootstrap_servers=self.kafka_server.url, max_block_ms=10_000)
        return self._producer

    def produce(self, *values: object, key: bytes | None = b"key", partition: int | None = None) -> list[str]:
        """Put records (bytes, or what is written as JSON) on the input topic; their event ids."""
        futures = [
            self.producer.send(
                INPUT,
                value if isinstance(value, bytes) or value is None else orjson.dumps(value),
                key=key,
                headers=[("trace", b"abc")],
                partition=partition,
            )
            for value in values
        ]
        self.producer.flush(10)
        sent = [future.get(10) for future in futures]
        return [f"{INPUT}:{record.partition}:{record.offset}" for record in sent]

    def read(
        self, *, until: int, topics: tuple[str, ...] = (PREDICTIONS, DEAD_LETTERS), timeout_s: float = 30
    ) -> None:
        """Gather outcomes until those of `topics` are of `until` different records in all."""
        if self._reader is None:
            self._reader = KafkaConsumer(
                PREDICTIONS, DEAD_LETTERS, ALERTS, ANOMALIES,
                bootstrap_servers=self.kafka_server.url, auto_offset_reset="earliest",
                isolation_level="read_committed", fetch_max_wait_ms=100, metadata_max_age_ms=1000,
            )  # fmt: skip
        deadline = time.monotonic() + timeout_s
        while len(self.event_ids(*topics)) < until:
            if time.monotonic() > deadline:
                found = len(self.event_ids(*topics))
                raise AssertionError(f"{found} of {until} outcomes after {timeout_s:g} s.\n{self.logs()}")
            for tp, records in self._reader.poll(timeout_ms=100).items():
                self.outcomes.setdefault(tp.topic, []).extend(records)

    def event_ids(self, *topics: str) -> set[str]:
        return {event_id(record) for topic in topics for record in self.outcomes.get(topic, [])}

    def predictions(self) -> dict[str, dict[str, Any]]:
        """By event id."""
        return {event_id(r): orjson.loads(r.value or b"") for r in self.outcomes.get(PREDICTIONS, [])}

    def dead_letters(self) -> dict[str, ConsumerRecord]:
        """By event id."""
        return {event_id(record): record for record in self.outcomes.get(DEAD_LETTERS, [])}

    def consumer_state(self) -> dict[str, Any]:
        records = [orjson.loads(raw) for raw in self.redis.hgetall("ml:consumers").values()]
        return max(records, key=lambda record: record["seen_at"], default={"state": "unknown"})

    def wait_for_state(self, state: str, timeout_s: float = 20) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            found = self.consumer_state()
            return found if found["state"] == state else None

        found = wait_until(
            reached,
            what=f"a consumer that is {state}",
            timeout_s=timeout_s,
            log=lambda: str(self.consumer_state()),
        )
        assert found is not None
        return found

    def committed(self, topic: str = INPUT, group_id: str = "evzone-ml") -> int:
        """The sum of the group's committed offsets."""
        group = KafkaConsumer(
            bootstrap_servers=self.kafka_server.url, group_id=group_id, enable_auto_commit=False
        )
        try:
            partitions = [TopicPartition(topic, number) for number in range(6)]
            return sum(group.committed(tp, timeout_ms=5000) or 0 for tp in partitions)
        finally:
            group.close(timeout_ms=1000)

    def logs(self) -> str:
        """The end of what each process has said."""
        return "\n".join(f"--- {p.log_file.name}\n{p.log()[-3000:]}" for p in self.processes)

    def close_clients(self) -> None:
        """Close the test's own Kafka clients."""
        for client in (self._producer, self._reader):
            if client is not None:
                client.close()
        self._producer = self._reader = None
        with warnings.catch_warnings():
            # kafka-python leaves the socket of each refused connection to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def close(self) -> None:
        self.close_clients()
        self.redis.close()
        for process in self.processes:
            process.kill()


def event_id(record: ConsumerRecord) -> str:
    """Which input record an outcome is of."""
    headers = dict(record.headers)
    if "x-origin-topic" in headers:
        parts = (headers[f"x-origin-{part}"] or b"" for part in ("topic", "partition", "offset"))
        return ":".join(part.decode() for part in parts)
    return str(orjson.loads(record.value or b"")["event_id"])


@contextmanager
def stream_bench(
    redis: RunningServer, kafka: RunningServer, folder: Path, *, python: str = sys.executable, **settings: str
) -> Iterator[StreamBench]:
    bench = StreamBench(redis, kafka, folder, python=python, **settings)
    try:
        yield bench
    finally:
        bench.close()
