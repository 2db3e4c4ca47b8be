"""Each reading ends in exactly one outcome, whoever dies: on Apache Kafka, with real processes.

`SOAK=1` makes it the long form: 100,000 readings, three consumers, two workers, at least thirty kills.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import pytest
from kafka import KafkaConsumer

from tests.integration.stream_bench import (
    ALERTS,
    ANOMALIES,
    DEAD_LETTERS,
    INPUT,
    PREDICTIONS,
    Process,
    StreamBench,
    event_id,
    stream_bench,
)
from tests.kafka import broker
from tests.services import start_redis

SOAK: Final = os.environ.get("SOAK") == "1"
READINGS: Final = 100_000 if SOAK else 4_000
CHARGERS: Final = 500 if SOAK else 60
CONSUMERS: Final = 3 if SOAK else 2
WORKERS: Final = 2 if SOAK else 1
KILLS: Final = 30 if SOAK else 6
DEATHS_IN_TRANSACTION: Final = 10 if SOAK else 2
SEED: Final = int(os.environ.get("SEED", "0")) or random.randrange(1, 10**6)

POISON: Final[list[bytes | None]] = [
    b"{bad",
    b"\xff\xfe",
    None,
    b"[]",
    b"7",
    b'{"charger_id":"P"}',
    b'{"charger_id":"P","connector_status":"BURNING"}',
    b'{"charger_id":"P","connector_status":"CHARGING","power":NaN}',
    b'{"charger_id":"P Q","connector_status":"CHARGING"}',
    b'{"charger_id":"P","metrics":{"charger_id":"Q","connector_status":"CHARGING"}}',
]


@dataclass
class Sent:
    """What was put in: the poison ones' ids, and every id."""

    all: set[str]
    poison: set[str]


class Fleet:
    """Workers and consumers that are started again whenever they have ended."""

    def __init__(self, bench: StreamBench, chance: random.Random, doom: float) -> None:
        self.bench = bench
        self.chance = chance
        self.deaths_file = bench.folder / "deaths"
        self.kills: Counter[str] = Counter()
        self._doom = doom
        self._lock = threading.Lock()
        self.consumers = [self._consumer() for _ in range(CONSUMERS)]
        self.workers = [bench.start_worker(f"stream{n}@test") for n in range(WORKERS)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._respawn)
        self._thread.start()

    def _consumer(self) -> Process:
        return self.bench.start(
            "consumer",
            [
                "-m",
                "tests.kafka.doomed",
                str(self._doom),
                str(2 * DEATHS_IN_TRANSACTION),
                str(self.deaths_file),
            ],
        )

    def _respawn(self) -> None:
        while not self._over.wait(0.2):
            with self._lock:
                for n, process in enumerate(self.consumers):
                    if process.popen.poll() is not None:
                        self.consumers[n] = self._consumer()
                for n, process in enumerate(self.workers):
                    if process.popen.poll() is not None:
                        self.workers[n] = self.bench.start_worker(f"stream{n}@test")

    @property
    def deaths_in_transaction(self) -> int:
        return len(self.deaths_file.read_text().splitlines()) if self.deaths_file.exists() else 0

    def kill(self, kind: str) -> None:
        """SIGKILL to one of a kind, picked at random, and to its children."""
        with self._lock:
            self.chance.choice(self.consumers if kind == "consumer" else self.workers).kill()
        self.kills[kind] += 1

    def stop_respawning(self) -> None:
        self._over.set()
        self._thread.join()


def produce(bench: StreamBench, chance: random.Random, count: int, rate: float) -> Sent:
    """`count` records at about `rate` a second, one in a hundred of them poison."""
    futures = []
    started = time.monotonic()
    for n in range(count):
        poison = n % 100 == 7
        charger = f"C-{chance.randrange(CHARGERS)}"
        value = POISON[(n // 100) % len(POISON)] if poison else _reading(charger, n)
        futures.append((poison, bench.producer.send(INPUT, value, key=charger.encode())))
        ahead_s = n / rate - (time.monotonic() - started)
        if ahead_s > 0.05:
            time.sleep(ahead_s)
    bench.producer.flush(120)
    ids = [(poison, future.get(1)) for poison, future in futures]
    named = [(poison, f"{INPUT}:{record.partition}:{record.offset}") for poison, record in ids]
    return Sent({name for _, name in named}, {name for poison, name in named if poison})


def _reading(charger: str, number: int) -> bytes:
    return orjson.dumps(
        {
            "charger_id": charger,
            "connector_status": "FAULTY" if number % 40 == 0 else "CHARGING",
            "temperature": 20 + number % 60,
            "power": 11.0,
            "total_sessions": number,
        }
    )


def say(text: str) -> None:
    """For the report of a failed run, or of any with `-s`."""
    print(text)  # noqa: T201 - which run it was, if it fails


def check(bench: StreamBench, sent: Sent) -> None:
    """Every record exactly one outcome, the right kind, each charger's in order; each alert opens once."""
    reader = KafkaConsumer(
        PREDICTIONS,
        DEAD_LETTERS,
        ALERTS,
        ANOMALIES,
        bootstrap_servers=bench.kafka_server.url,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    outcomes: Counter[str] = Counter()
    dead: set[str] = set()
    last: dict[bytes, tuple[int, int]] = {}
    alerts: dict[tuple[str, str], list[tuple[str, str]]] = {}
    quiet_since = time.monotonic()
    try:
        # Past the last one too: a second outcome would come late.
        while time.monotonic() - quiet_since < 3:
            for tp, records in reader.poll(timeout_ms=300).items():
                quiet_since = time.monotonic()
                for record in records:
                    if tp.topic in (ALERTS, ANOMALIES):
                        alert = orjson.loads(record.value or b"")
                        said = (alert["alert_id"], alert["state"])
                        alerts.setdefault((tp.topic, alert["charger_id"]), []).append(said)
                        continue
                    outcomes[event_id(record)] += 1
                    if tp.topic == DEAD_LETTERS:
                        dead.add(event_id(record))
                        continue
                    source = orjson.loads(record.value or b"")["source"]
                    place = (source["partition"], source["offset"])
                    assert last.get(record.key or b"", place) <= place, f"{record.key!r} out of order"
                    last[record.key or b""] = place
    finally:
        reader.close()
    missing = sent.all - outcomes.keys()
    twice = {name: times for name, times in outcomes.items() if times > 1}
    say(f"outcomes: {len(outcomes)} of {len(sent.all)}, dead letters: {len(dead)}, repeats: {len(twice)}")
    assert not missing, f"{len(missing)} lost, like {sorted(missing)[:5]}"
    assert not twice, f"{len(twice)} repeated, like {sorted(twice.items())[:5]}"
    assert dead == sent.poison
    for key, states in alerts.items():
        assert [state for _, state in states[::2]] == ["open"] * len(states[::2]), f"{key}: {states}"
        assert [state for _, state in states[1::2]] == ["closed"] * len(states[1::2]), f"{key}: {states}"
        for (opened, _), (closed, _) in zip(states[::2], states[1::2], strict=False):
            assert opened == closed, f"{key}: {states}"
    say(f"alerts opened or closed: {sum(map(len, alerts.values()))}")
    assert alerts


def wait_for_outcomes(bench: StreamBench, count: int, timeout_s: float) -> None:
    """Until the group has committed `count` input records; says how far it got where it does not."""
    deadline = time.monotonic() + timeout_s
    while (done := bench.committed()) < count:
        assert time.monotonic() < deadline, f"{done} of {count} committed\n{bench.logs()}"
        time.sleep(1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StreamBench]:
    broker.require()
    with (
        start_redis() as redis,
        broker.ApacheKafka() as kafka,
        stream_bench(
            redis,
            kafka,
            tmp_path,
            KAFKA_TRANSACTIONS="on",
            KAFKA_MAX_POLL_RECORDS="200",
            KAFKA_SESSION_TIMEOUT="6",
        ) as bench,
    ):
        yield bench


@pytest.mark.timeout(3600 if SOAK else 300)
def test_each_reading_ends_in_exactly_one_outcome_whoever_is_killed(bench: StreamBench) -> None:
    say(f"seed {SEED}")
    chance = random.Random(SEED)
    fleet = Fleet(bench, chance, doom=0.02 if SOAK else 0.06)
    sent: list[Sent] = []
    rate = 400.0
    source = threading.Thread(target=lambda: sent.append(produce(bench, chance, READINGS, rate)))
    try:
        time.sleep(8)
        source.start()
        moves = (["consumer"] * 3 + ["worker"]) * (KILLS // 4) + ["redis", "broker"]
        chance.shuffle(moves)
        pause_s = READINGS / rate / len(moves)
        for move in moves:
            time.sleep(pause_s)
            if move == "redis":
                bench.redis_server.kill()
                time.sleep(2)
                bench.redis_server.restart()
            elif move == "broker":
                bench.kafka_server.stop()
                time.sleep(2)
                bench.kafka_server.restart()
            else:
                fleet.kill(move)
        source.join()
        deadline = time.monotonic() + (600 if SOAK else 60)
        while fleet.deaths_in_transaction < DEATHS_IN_TRANSACTION and time.monotonic() < deadline:
            time.sleep(2)
            more = produce(bench, chance, 200, rate)
            sent[0].all.update(more.all)
            sent[0].poison.update(more.poison)
        wait_for_outcomes(bench, len(sent[0].all), timeout_s=600 if SOAK else 120)
    finally:
        fleet.stop_respawning()
        say(f"kills: {dict(fleet.kills)}, in a transaction: {fleet.deaths_in_transaction}")
    check(bench, sent[0])
    assert fleet.deaths_in_transaction >= DEATHS_IN_TRANSACTION


def test_a_rolling_restart_is_not_noticed(bench: StreamBench) -> None:
    chance = random.Random(SEED)
    fleet = Fleet(bench, chance, doom=0.0)
    sent: list[Sent] = []
    source = threading.Thread(target=lambda: sent.append(produce(bench, chance, 3_000, 250.0)))
    try:
        time.sleep(6)
        source.start()
        for number in range(len(fleet.consumers)):
            time.sleep(3)
            assert fleet.consumers[number].stop() < 20
        time.sleep(1)
        fleet.workers[0].stop()
        source.join()
        wait_for_outcomes(bench, len(sent[0].all), timeout_s=120)
    finally:
        fleet.stop_respawning()
    check(bench, sent[0])


def test_a_reading_that_kills_its_worker_is_a_dead_letter_and_its_neighbours_are_predicted(
    bench: StreamBench,
) -> None:
    bench.start_worker(app="tests.kafka.fragile_app")
    bench.start("consumer", ["-m", "tests.kafka.doomed", "0", "0", str(bench.folder / "deaths")])
    bench.wait_for_state("running", timeout_s=60)
    healthy = {"charger_id": "H", "connector_status": "CHARGING"}
    deadly = healthy | {"metadata": {"deadly": True}}
    ids = bench.produce(*[healthy] * 5, deadly, *[healthy] * 5, partition=0)
    bench.read(until=len(ids), timeout_s=90)
    letters = bench.dead_letters()
    assert set(letters) == {ids[5]}
    assert set(bench.predictions()) == set(ids) - {ids[5]}
    headers = dict(letters[ids[5]].headers)
    assert headers["x-error-code"] == b"scoring_failed"
    assert int(headers["x-attempts"] or 0) >= 3
