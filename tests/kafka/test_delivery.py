"""Each reading ends in exactly one outcome, whoever dies: on Apache Kafka, with real processes.

`SOAK=1` makes it the long form: 100,000 readings, three consumers, two workers, at least thirty kills, ten
of them between begin and commit.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.stream_bench import StreamBench
from tests.kafka.members import SEED, SOAK, Doom, Members, always_revived, bench_on_apache_kafka, say
from tests.kafka.outcomes import Sent, check, produce, wait_until_committed

READINGS: Final = 100_000 if SOAK else 4_000
CHARGERS: Final = 500 if SOAK else 60
CONSUMERS: Final = 3 if SOAK else 2
WORKERS: Final = 2 if SOAK else 1
KILLS: Final = 30 if SOAK else 6
DEATHS_IN_TRANSACTION: Final = 10 if SOAK else 2
RATE_PER_S: Final = 400.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StreamBench]:
    with bench_on_apache_kafka(tmp_path, max_poll_records=200) as bench:
        yield bench


@pytest.mark.timeout(3600 if SOAK else 300)
def test_each_reading_ends_in_exactly_one_outcome_whoever_is_killed(bench: StreamBench) -> None:
    say(f"seed {SEED}")
    chance, sent = random.Random(SEED), Sent()

    def send(count: int, chance: random.Random) -> None:
        produce(bench, sent, count=count, rate=RATE_PER_S, chargers=CHARGERS, chance=chance)

    doom = Doom(bench, probability=0.02 if SOAK else 0.06, most=2 * DEATHS_IN_TRANSACTION)
    consumers = Members(CONSUMERS, doom.start)
    workers = Members(WORKERS, lambda number: bench.start_worker(f"stream{number}@test"))
    source = threading.Thread(target=send, args=(READINGS, random.Random(SEED + 1)))
    servers: list[str] = []
    with always_revived(consumers, workers):
        bench.wait_for_state("running", timeout_s=60)
        source.start()
        moves = (["consumer"] * 3 + ["worker"]) * (KILLS // 4) + ["redis", "broker"]
        chance.shuffle(moves)
        pause_s = READINGS / RATE_PER_S / len(moves)
        for move in moves:
            time.sleep(pause_s)
            if move == "redis":
                bench.redis_server.kill()
                time.sleep(2)
                bench.redis_server.restart()
                servers.append("Redis killed")
            elif move == "broker":
                bench.kafka_server.stop()
                time.sleep(2)
                bench.kafka_server.restart()
                servers.append("broker stopped")
            else:
                (consumers if move == "consumer" else workers).kill(chance)
        source.join()
        deadline = time.monotonic() + (600 if SOAK else 60)
        while doom.deaths < DEATHS_IN_TRANSACTION and time.monotonic() < deadline:
            time.sleep(2)
            send(200, chance)
        wait_until_committed(bench, len(sent.all), timeout_s=600 if SOAK else 120)
    kills = consumers.kills + workers.kills + doom.deaths
    say(
        f"kills: {kills}, of them {consumers.kills} of consumers, {workers.kills} of workers, "
        f"{doom.deaths} between begin and commit; {', '.join(servers)}"
    )
    check(bench, sent)
    assert doom.deaths >= DEATHS_IN_TRANSACTION
    assert kills >= KILLS


def test_a_reading_that_kills_its_worker_is_a_dead_letter_and_its_neighbours_are_predicted(
    bench: StreamBench,
) -> None:
    bench.start_worker(app="tests.kafka.fragile_app")
    Doom(bench, probability=0, most=0).start()
    bench.wait_for_state("running", timeout_s=60)
    healthy = {"charger_id": "H", "connector_status": "CHARGING"}
    deadly = healthy | {"metadata": {"costs": {"deadly": True}}}
    ids = bench.produce(*[healthy] * 5, deadly, *[healthy] * 5, partition=0)
    bench.read(until=len(ids), timeout_s=90)
    letters = bench.dead_letters()
    assert set(letters) == {ids[5]}
    assert set(bench.predictions()) == set(ids) - {ids[5]}
    headers = dict(letters[ids[5]].headers)
    assert headers["x-error-code"] == b"scoring_failed"
    assert int(headers["x-attempts"] or 0) >= 3
