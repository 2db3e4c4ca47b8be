"""The stream on Apache Kafka: readings per second to committed predictions, and their latency.

`python -m bench --only stream` runs only this. The results are in `build/bench/stream.json`.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from bench.contestants import FOLDER, KEY, REDIS_PORT
from bench.measure import Program, Running
from settings import ROOT
from stack.servers import redis_command
from tests.kafka.broker import KAFKA_VERSION, ApacheKafka, fetch

PARTITIONS: Final = 6
CHARGERS: Final = 2_000
# Warm-up predictions before the clock starts: models load, caches fill.
WARM_UP: Final = 3_000
READINGS: Final = {
    "ours": 20_000,
    "plain, scikit-learn": 3_000,
    "plain, ONNX": 10_000,
    "bare-limit": 10_000,
    "limit": 60_000,
}
RATES: Final = (100, 1_000)
RATE_S: Final = 15.0
MOST_WAIT_S: Final = 240.0
OURS: Final = "ours"

Found = dict[str, Any]


class Topics:
    """Topics of one contestant. `arrived`: key and time of each committed prediction."""

    def __init__(self, url: str, name: str) -> None:
        self.arrived: list[tuple[bytes, float]] = []
        self._url, self._name = url, name
        self._metrics, self._predictions = f"{name}.metrics", f"{name}.predictions"
        admin = KafkaAdminClient(bootstrap_servers=url)
        topic = {"num_partitions": PARTITIONS, "replication_factor": 1}
        admin.create_topics({self._metrics: topic, self._predictions: topic})
        admin.close()
        self._producer = KafkaProducer(bootstrap_servers=url, linger_ms=2, batch_size=131_072)
        self._reader = KafkaConsumer(
            self._predictions,
            bootstrap_servers=url,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=20,
            max_poll_records=5_000,
        )

    def environment(self, redis_url: str) -> dict[str, str]:
        """Return the contestant's environment."""
        return {
            "ENVIRONMENT": "test",
            "ML_SERVICE_API_KEY": KEY,
            "REDIS_URL": redis_url,
            "KAFKA_BOOTSTRAP_SERVERS": self._url,
            "KAFKA_GROUP_ID": self._name,
            "KAFKA_TOPIC_METRICS": self._metrics,
            "KAFKA_TOPIC_PREDICTIONS": self._predictions,
            "KAFKA_TOPIC_DEAD_LETTERS": f"{self._name}.dlq",
            "KAFKA_TOPIC_FAILURE_ALERTS": f"{self._name}.failure_alerts",
            "KAFKA_TOPIC_ANOMALIES": f"{self._name}.anomalies",
            "KAFKA_TOPIC_ALERT_STATE": f"{self._name}.alert_state",
        }

    def send(self, count: int, *, rate: float | None = None) -> list[tuple[bytes, float]]:
        """Send readings of about 200 bytes, at full speed or `rate` per second. Returns key and time of each.

        With a rate, arriving predictions are read meanwhile.
        """
        sent: list[tuple[bytes, float]] = []
        started = time.time()
        for number in range(count):
            while rate is not None and (early_s := started + number / rate - time.time()) > 0:
                self.read(early_s)
            key = f"EVZ-{random.randrange(CHARGERS):04d}"
            sent.append((key.encode(), time.time()))
            self._producer.send(self._metrics, orjson.dumps(reading(key)), key=key.encode())
        self._producer.flush(30)
        return sent

    def read(self, wait_s: float) -> None:
        """Read arriving predictions for at most `wait_s`."""
        polled = self._reader.poll(timeout_ms=max(1, int(wait_s * 1000)))
        now = time.time()
        self.arrived += [(record.key or b"", now) for records in polled.values() for record in records]

    def read_until(self, count: int) -> None:
        """Read until `count` predictions have arrived in total. Raises `RuntimeError` after a time limit."""
        deadline = time.time() + MOST_WAIT_S
        while len(self.arrived) < count:
            self.read(0.1)
            if time.time() > deadline:
                raise RuntimeError(f"{len(self.arrived)} of {count} predictions after {MOST_WAIT_S:g} s")

    def close(self) -> None:
        """Close the Kafka clients."""
        self._producer.close()
        self._reader.close()


def measure(say: Callable[[str], None]) -> Found:
    """Run all stream measurements. Blocks for minutes. Exits with a message without Apache Kafka."""
    problem = fetch()
    if problem is not None:
        sys.exit(f"The stream is measured on Apache Kafka: {problem}.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    found: Found = {"kafka": KAFKA_VERSION, "throughput": {}, "latency": {}}
    with ApacheKafka() as kafka:
        for name, count in READINGS.items():
            topics = Topics(kafka.url, f"{name.split(', ')[-1].lower()}-{int(time.time())}")
            topics.send(WARM_UP + count)
            with _contestant(name, topics) as processes:
                rate, cpu_us = _throughput(topics, processes, count)
                found["throughput"][name] = {"per_s": rate, "cpu_us": cpu_us}
                say(f"stream, {name}: {rate:.0f} readings/s, {cpu_us:.0f} µs of CPU each")
                if name == OURS:
                    for a_second in RATES:
                        latency = _latency(topics, a_second)
                        found["latency"][str(a_second)] = latency
                        say(f"stream at {a_second}/s: " + _shown(latency))
            topics.close()
    return found


@contextmanager
def _contestant(name: str, topics: Topics) -> Iterator[Running]:
    redis_url = f"redis://127.0.0.1:{REDIS_PORT}/0"
    environment = topics.environment(redis_url)
    with tempfile.TemporaryDirectory(prefix="evzone-bench-") as folder:
        environment["STATE_DIR"] = folder
        programs = _ours(environment, Path(folder)) if name == OURS else [_loop(name, environment)]
        running = Running(programs, FOLDER / f"stream-{name.replace(', ', '-')}.log")
        try:
            yield running
        finally:
            running.stop()


def _ours(environment: Mapping[str, str], folder: Path) -> list[Program]:
    """Return the programs as `make run` starts them."""
    worker = ["-m", "celery", "-A", "tasks.worker.app", "worker", "-Q", "ml.stream", "-n", "stream@%h"]
    flags = ["-P", "prefork", "-c", "1", "--without-gossip", "--without-mingle"]
    return [
        Program(redis_command(REDIS_PORT, folder), {}),
        Program([sys.executable, *worker, *flags], environment),
        Program([sys.executable, "-m", "consumers"], environment),
    ]


def _loop(name: str, environment: Mapping[str, str]) -> Program:
    model = {"BENCH_MODEL": "scikit-learn"} if name.endswith("scikit-learn") else {}
    command = [sys.executable, "-m", "bench.rivals.stream_loops", name.split(",")[0]]
    return Program(command, {**environment, **model}, ROOT)


def _throughput(topics: Topics, processes: Running, count: int) -> tuple[float, float]:
    """Return readings per second and CPU µs per reading after warm-up. All readings are queued first."""
    topics.read_until(WARM_UP)
    before, cpu_s = len(topics.arrived), processes.cpu_s()
    topics.read_until(WARM_UP + count)
    cpu_us = (processes.cpu_s() - cpu_s) / (WARM_UP + count - before) * 1e6
    (_, first), (_, last) = topics.arrived[WARM_UP], topics.arrived[-1]
    return count / (last - first), cpu_us


def _latency(topics: Topics, rate: int) -> Found:
    """Return the time in ms from the producer's call to the committed prediction."""
    before = len(topics.arrived)
    sent = topics.send(int(rate * RATE_S), rate=rate)
    topics.read_until(before + len(sent))
    # A charger's predictions arrive in the order of its readings.
    waiting: dict[bytes, deque[float]] = {}
    for key, at in sent:
        waiting.setdefault(key, deque()).append(at)
    late_ms = [(at - waiting[key].popleft()) * 1000 for key, at in topics.arrived[before:]]
    cuts = statistics.quantiles(late_ms, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98], "readings": len(late_ms)}


def _shown(latency: Found) -> str:
    return f"p50 {latency['p50_ms']:.0f} ms, p99 {latency['p99_ms']:.0f} ms"


def reading(charger_id: str) -> Found:
    """Return a reading of a healthy charger: power only while charging. Other power would be an anomaly."""
    status = random.choice(("AVAILABLE", "CHARGING", "OCCUPIED"))
    return {
        "charger_id": charger_id,
        "connector_status": status,
        "energy_delivered": round(random.random() * 60, 2),
        "power": round(1 + random.random() * 49, 1) if status == "CHARGING" else 0.0,
        "temperature": round(20 + random.random() * 30, 1),
        "error_codes": [],
        "uptime_hours": round(random.random() * 900, 1),
        "total_sessions": random.randrange(9_000),
    }
