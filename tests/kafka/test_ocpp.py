"""Each OCPP event ends in exactly one outcome, whoever dies: on Apache Kafka, with real processes."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from kafka import KafkaConsumer, TopicPartition

from consumers.ocpp.charge_point import ChargePoint
from consumers.ocpp.envelope import read_event
from consumers.ocpp.translation import translate
from errors import ServiceError
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, Process, StreamBench, stream_bench
from tests.kafka import broker
from tests.services import start_redis
from tests.unit.consumers.ocpp import events as ocpp

EVENTS: Final = "ocpp.events"
CHARGE_POINTS: Final = 30
SESSIONS: Final = 12
KILLS: Final = 6
DEATHS_IN_TRANSACTION: Final = 2
RATE_PER_S: Final = 150.0
POISON: Final = (b"{bad", b"[]", orjson.dumps(ocpp.status(0, "Burning")), orjson.dumps({"eventId": "x"}))
READER: Final = {"auto_offset_reset": "earliest", "isolation_level": "read_committed"}


def life(charge_point: str, chance: random.Random) -> list[bytes]:
    """Sessions of one charge point: some events repeated, some late, some that tell nothing, one poison."""
    made = []
    for n in range(SESSIONS):
        began, meter = 100.0 * n, 20_000 * n
        made += [
            ocpp.status(began, "Preparing"),
            ocpp.start(began + 1, meter),
            ocpp.status(began + 2, "Charging"),
            ocpp.power(began + 10, 7400),
            ocpp.register(began + 20, meter + 5000),
            ocpp.envelope(began + 21, "Heartbeat", {}),
            ocpp.stop(began + 60, meter + 12_000),
            ocpp.status(began + 61, "Faulted" if n % 5 == 0 else "Available", errorCode="OverVoltage"),
        ]
    made = [event | {"chargePointId": charge_point, "eventId": f"{charge_point}-{i}"}
            for i, event in enumerate(made)]  # fmt: skip
    for place in chance.sample(range(10, len(made)), 10):
        made.insert(place, made[place - chance.randrange(1, 8)])
    for place in chance.sample(range(10, len(made)), 5):
        made.insert(place - 3, made.pop(place))
    records = [orjson.dumps(event) for event in made]
    records.insert(chance.randrange(len(records)), chance.choice(POISON))
    return records


def expected(records: list[bytes]) -> tuple[list[dict[str, Any]], int, Counter[str]]:
    """By the pure core: readings in order, how many dead letters, and the others by reason."""
    known, readings, letters, reasons = ChargePoint(), list[dict[str, Any]](), 0, Counter[str]()
    for record in records:
        try:
            event = read_event(record, now=datetime.now(UTC))
            known, found = translate(event, known)
        except ServiceError:
            letters += 1
            continue
        if isinstance(found, str):
            reasons[found] += 1
        else:
            readings.append(found)
    return readings, letters, reasons


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StreamBench]:
    broker.require()
    with (
        start_redis() as redis,
        broker.ApacheKafka() as kafka,
        stream_bench(
            redis, kafka, tmp_path,
            KAFKA_TRANSACTIONS="on", KAFKA_MAX_POLL_RECORDS="50", KAFKA_SESSION_TIMEOUT="6",
        ) as bench,
    ):  # fmt: skip
        yield bench


def start_member(bench: StreamBench) -> Process:
    deaths = str(bench.folder / "deaths")
    return bench.start(
        "ocpp", ["-m", "tests.kafka.doomed", "0.04", str(DEATHS_IN_TRANSACTION), deaths, "ocpp"]
    )


def committed(bench: StreamBench) -> int:
    group = KafkaConsumer(
        bootstrap_servers=bench.kafka_server.url, group_id="evzone-ml-ocpp", enable_auto_commit=False
    )
    try:
        partitions = [TopicPartition(EVENTS, number) for number in range(6)]
        return sum(group.committed(tp, timeout_ms=5000) or 0 for tp in partitions)
    finally:
        group.close(timeout_ms=1000)


def read_all(bench: StreamBench, topic: str) -> list[Any]:
    """Every committed record; past the last one too, for a second outcome would come late."""
    reader = KafkaConsumer(topic, bootstrap_servers=bench.kafka_server.url, **READER)
    found: list[Any] = []
    quiet_since = time.monotonic()
    try:
        while time.monotonic() - quiet_since < 3:
            for records in reader.poll(timeout_ms=300).values():
                quiet_since = time.monotonic()
                found.extend(records)
    finally:
        reader.close()
    return found


@pytest.mark.timeout(300)
def test_each_event_ends_in_exactly_one_outcome_whoever_is_killed(bench: StreamBench) -> None:
    seed = random.randrange(1, 10**6)
    chance = random.Random(seed)
    lives = {f"CP-{n}": life(f"CP-{n}", chance) for n in range(CHARGE_POINTS)}
    members = [start_member(bench) for _ in range(2)]
    bench.wait_for_state("running", timeout_s=60)

    waiting = {name: iter(records) for name, records in lives.items()}
    turns = [name for name, records in lives.items() for _ in records]
    chance.shuffle(turns)
    kill_at = set(chance.sample(range(len(turns)), KILLS))
    for turn, name in enumerate(turns):
        bench.producer.send(EVENTS, next(waiting[name]), key=name.encode())
        if turn in kill_at:
            chance.choice(members).kill()
        members = [m if m.popen.poll() is None else start_member(bench) for m in members]
        time.sleep(1 / RATE_PER_S)
    bench.producer.flush(30)
    deadline = time.monotonic() + 120
    while (done := committed(bench)) < len(turns):
        assert time.monotonic() < deadline, f"seed {seed}: {done} of {len(turns)} committed\n{bench.logs()}"
        members = [m if m.popen.poll() is None else start_member(bench) for m in members]
        time.sleep(1)
    # Every offset is passed; now what stands for it.
    wanted = {name: expected(records) for name, records in lives.items()}
    assert all(reasons["repeated"] and reasons["other_type"] for _, _, reasons in wanted.values())
    found: dict[str, list[Any]] = {name: [] for name in lives}
    for record in read_all(bench, INPUT):
        found[(record.key or b"").decode()].append(orjson.loads(record.value or b""))
    for name, (readings, _, _) in wanted.items():
        assert found[name] == readings, f"seed {seed}: readings of {name}"
    letters = Counter((record.key or b"").decode() for record in read_all(bench, DEAD_LETTERS))
    assert letters == Counter({name: count for name, (_, count, _) in wanted.items()}), f"seed {seed}"
    deaths = (bench.folder / "deaths").read_text().splitlines()
    assert len(deaths) == DEATHS_IN_TRANSACTION
    counts = f"{len(turns)} events, {KILLS} kills, {len(deaths)} deaths in a transaction"
    print(f"seed {seed}: {counts}")  # noqa: T201 - which run it was, if it fails
