"""Records on every topic: readings in, outcomes out; OCPP events in, readings out; commands that publish."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from tests.golden.commands import Commands
from tests.golden.readings import FAULTY, HEALTHY, LEAST, ORDINARY, WITH_COSTS
from tests.golden.redis_dump import decoded
from tests.processes import wait_until

Document = dict[str, Any]
INPUT: Final = "charger.metrics"
PREDICTIONS: Final = "ml.predictions"
DEAD_LETTERS: Final = "charger.metrics.dlq"
OUTPUTS: Final = (PREDICTIONS, DEAD_LETTERS, "charger.failure_alerts", "charger.anomalies", "ml.alert_state")
TRACE: Final = [("trace", b"abc")]
WAIT_S: Final = 90

# A charger that fails, comes back, and is well three times: its alert opens and closes.
STORY: Final = [
    {
        "charger_id": "STORY",
        "connector_status": status,
        "temperature": temperature,
        "power": 7.5,
        "timestamp": moment,
    }
    for status, temperature, moment in (
        ("CHARGING", 25.0, "2024-03-01T00:00:00Z"),
        ("FAULTY", 140.0, "2024-03-02T00:00:00Z"),
        ("CHARGING", 26.0, "2024-03-03T00:00:00Z"),
        ("CHARGING", 26.5, "2024-03-04T00:00:00Z"),
        ("CHARGING", 27.0, "2024-03-05T00:00:00Z"),
        ("CHARGING", 27.5, "2024-03-06T00:00:00Z"),
    )
]
VALUES: Final[list[Any]] = [
    ORDINARY,
    HEALTHY,
    FAULTY,
    {**LEAST, "tenant_id": "acme"},
    {"charger_id": "GOLD-1", "metrics": ORDINARY, "operator_id": "acme"},
    {
        "metrics": {**WITH_COSTS, "charger_id": "GOLD-6"},
        "tenant_id": "acme",
        "timestamp": "2024-03-02T00:00:00Z",
    },
    {"charger_id": "GOLD-7", "metrics": {"connector_status": "Available"}, "timestamp": 1_709_280_000.5},
    b"{bad",
    b"\xff\xfe",
    None,
    [ORDINARY],
    7,
    {"charger_id": "GOLD-1"},
    {**ORDINARY, "connector_status": "BURNING", "power": "31"},
    {**ORDINARY, "timestamp": "2999-01-01T00:00:00Z"},
    {"charger_id": "GOLD-2", "metrics": ORDINARY},
    {**ORDINARY, "tenant_id": "a b"},
    {**ORDINARY, "operator_id": 7},
    {"metrics": []},
    {"charger_id": "GOLD 8", "metrics": {"connector_status": "AVAILABLE"}, "timestamp": "never"},
    b'{"charger_id":"G","connector_status":"CHARGING","power":NaN}',
    *STORY,
]


class Topics:
    """A producer and readers of one broker."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.producer = KafkaProducer(bootstrap_servers=servers, max_block_ms=10_000)
        self._counter = self._reader()

    def make(self, topic: str) -> None:
        """Create a topic of one partition."""
        admin = KafkaAdminClient(bootstrap_servers=self.servers)
        try:
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        finally:
            admin.close()

    def send(self, topic: str, value: Any, *, key: bytes | None, headers: list[tuple[str, bytes]]) -> int:
        """Publish one record (bytes as they are, else JSON) on partition 0; its offset."""
        raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        sent = self.producer.send(topic, raw, key=key, headers=headers, partition=0)
        self.producer.flush(10)
        return int(sent.get(10).offset)

    def count(self, *topics: str) -> int:
        """How many records are on partition 0 of these topics."""
        return sum(self._counter.end_offsets([TopicPartition(topic, 0) for topic in topics]).values())

    def read(self, topic: str, *, at_least: int = 0) -> list[ConsumerRecord]:
        """All records of partition 0, once there are so many."""
        partition = TopicPartition(topic, 0)
        reader = self._reader()
        found: list[ConsumerRecord] = []
        deadline = time.monotonic() + WAIT_S
        try:
            reader.assign([partition])
            reader.seek_to_beginning(partition)
            end = max(at_least, reader.end_offsets([partition])[partition])
            while len(found) < end:
                assert time.monotonic() < deadline, f"{len(found)} of {end} records on {topic}"
                for records in reader.poll(timeout_ms=100).values():
                    found += records
        finally:
            reader.close()
        return found

    def close(self) -> None:
        self.producer.close()
        self._counter.close()

    def _reader(self) -> KafkaConsumer:
        return KafkaConsumer(bootstrap_servers=self.servers, fetch_max_wait_ms=50)


def shown(record: ConsumerRecord) -> Document:
    """Key, value and headers of a record."""
    return {
        "key": text(record.key),
        "value": None
        if record.value is None
        else decoded(record.value)
        if _is_json(record)
        else text(record.value),
        "headers": [{name: text(value)} for name, value in record.headers],
    }


def text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "backslashreplace")


def _is_json(record: ConsumerRecord) -> bool:
    try:
        json.loads(record.value or b"")
    except ValueError:
        return False
    return True


def outcomes(topics: Topics) -> Document:
    """Send every value alone and wait for its outcome; then all records of the topics that are written.

    One after another, so that rounds, and with them the state that is remembered, are the same in every run.
    """
    for number, value in enumerate(VALUES):
        topics.send(INPUT, value, key=None if number % 7 == 3 else b"key", headers=TRACE)
        until(topics, number + 1, PREDICTIONS, DEAD_LETTERS)
    return {topic: [shown(record) for record in topics.read(topic)] for topic in OUTPUTS}


def until(topics: Topics, count: int, *names: str) -> None:
    wait_until(
        lambda: topics.count(*names) >= count,
        what=f"{count} records on {', '.join(names)}",
        timeout_s=WAIT_S,
        poll_s=0.02,
        log=lambda: f"There are {topics.count(*names)}.",
    )


def last_by_key(records: list[ConsumerRecord]) -> Document:
    """A compacted topic as its readers see it: the newest record of each key."""
    found: Document = {}
    for record in records:
        found[str(text(record.key))] = shown(record)
    return found


def commands(runner: Commands, topics: Topics) -> Document:
    """Records that `python -m consumers replay` and `replay-dlq` publish; the rest is kept by `runner`."""
    first = topics.count(DEAD_LETTERS)
    runner.run("replay-dlq", "consumers", "replay-dlq")
    runner.run("replay-dlq of a code", "consumers", "replay-dlq", "--code", "malformed_body", "--full")
    runner.run("replay-dlq put back", "consumers", "replay-dlq", "--place", "0:0", "--replay")
    until(topics, first + 1, DEAD_LETTERS)
    other = {"KAFKA_TOPIC_METRICS": "golden.replayed"}
    fast = ("consumers", "replay", "--speed", "max", "--no-shift-to-now")
    runner.run("replay", *fast, "timed.csv", env=other)
    runner.run("replay without times", *fast, "good.csv", env=other)
    runner.run("replay with a bad row", *fast, "mixed.csv", env=other)
    runner.run("replay without columns", *fast, "no_columns.csv", env=other)
    runner.run("replay missing file", *fast, "@nothing.csv", env=other)
    return {
        "replayed": [shown(record) for record in topics.read("golden.replayed")],
        "dead_letter_of_replayed": shown(topics.read(DEAD_LETTERS)[-1]),
        "dead_letter_put_back": shown(topics.read(INPUT)[-1]),
    }
