"""A new release in service: consumers and workers are restarted one after another, and no reading notices.

`SOAK=1` makes it the long form: 100,000 readings, and rounds of restarts for as long as they flow.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.integration.stream_bench import StreamBench
from tests.kafka.members import SEED, SOAK, Members, bench_on_apache_kafka, meanwhile, say
from tests.kafka.outcomes import Sent, check, produce, wait_until_committed
from tests.processes import Process, wait_until

READINGS: Final = 100_000 if SOAK else 0  # one round of restarts is enough
CHARGERS: Final = 500 if SOAK else 60
CONSUMERS: Final = 3
WORKERS: Final = 2
ALL_PARTITIONS: Final = list(range(6))
# What a consumer and a worker have for a graceful end.
MOST_LEAVING_S: Final = 20.0
RATE_PER_S: Final = 400.0 if SOAK else 150.0
# What a consumer says of its partitions when it gets some, or has to give some up.
CHANGE: Final = re.compile(r"partitions ([0-9, ]+) (assigned|revoked)")


def changes(consumer: Process) -> list[tuple[str, set[int]]]:
    return [
        (verb, {int(number) for number in numbers.split(",")})
        for numbers, verb in CHANGE.findall(consumer.log())
    ]


def owned(consumer: Process) -> set[int]:
    found: set[int] = set()
    for verb, numbers in changes(consumer):
        found = found | numbers if verb == "assigned" else found - numbers
    return found


def given_up(consumer: Process, since: int) -> set[int]:
    """What it had to give up, leaving out its first `since` changes."""
    return set[int]().union(*(numbers for verb, numbers in changes(consumer)[since:] if verb == "revoked"))


def shared(consumers: list[Process]) -> bool:
    """Whether each has some partitions, and together they have each partition once."""
    shares = [owned(consumer) for consumer in consumers]
    return all(shares) and sorted(number for share in shares for number in share) == ALL_PARTITIONS


def restart_consumer(bench: StreamBench, consumers: Members, number: int) -> float:
    """One leaves, its successor joins; how long the leaving took, seconds.

    The others are not stopped by it: they give up nothing to the one that leaves, and to the one that joins
    no more than it gets.
    """
    staying = [process for other, process in enumerate(consumers.processes) if other != number]
    since = [len(changes(process)) for process in staying]
    took_s = consumers.stop(number)
    wait_until(
        lambda: shared(staying), what="the partitions of the one that left", timeout_s=60, log=bench.logs
    )
    assert [given_up(*each) for each in zip(staying, since, strict=True)] == [set(), set()], bench.logs()
    had = [owned(process) for process in staying]
    consumers.revive()
    wait_until(
        lambda: shared(consumers.processes), what="partitions for its successor", timeout_s=60, log=bench.logs
    )
    lost = [given_up(*each) for each in zip(staying, since, strict=True)]
    assert set.union(*lost) == owned(consumers.processes[number]), bench.logs()
    assert all(less < all_of_it for less, all_of_it in zip(lost, had, strict=True)), bench.logs()
    return took_s


def restart_worker(bench: StreamBench, workers: Members, number: int) -> float:
    """One ends, then its successor begins; how long the ending took, seconds."""
    took_s = workers.stop(number)
    workers.revive()
    wait_until(
        lambda: " ready." in workers.processes[number].log(),
        what="the successor",
        timeout_s=60,
        log=bench.logs,
    )
    return took_s


@contextmanager
def readings_flow(bench: StreamBench, sent: Sent) -> Iterator[None]:
    """Readings all the while, from a thread of its own; all of them are sent when it is over."""
    chance = random.Random(SEED)

    def flow() -> None:
        produce(bench, sent, count=500, rate=RATE_PER_S, chargers=CHARGERS, chance=chance)

    with meanwhile(flow):
        yield


@pytest.mark.timeout(3600 if SOAK else 300)
def test_a_rolling_restart_is_not_noticed(tmp_path: Path) -> None:
    say(f"seed {SEED}")
    with bench_on_apache_kafka(tmp_path, max_poll_records=200) as bench:
        sent = Sent()
        consumers = Members(CONSUMERS, lambda _: bench.start_consumer())
        workers = Members(WORKERS, lambda number: bench.start_worker(f"stream{number}@test"))
        wait_until(
            lambda: shared(consumers.processes),
            what="a share for each consumer",
            timeout_s=60,
            log=bench.logs,
        )
        consumers_s, workers_s = list[float](), list[float]()
        with readings_flow(bench, sent):
            while not workers_s or len(sent.all) < READINGS:
                consumers_s += [restart_consumer(bench, consumers, number) for number in range(CONSUMERS)]
                workers_s += [restart_worker(bench, workers, number) for number in range(WORKERS)]
        wait_until_committed(bench, len(sent.all), timeout_s=600 if SOAK else 120)
        say(
            f"{len(consumers_s)} restarts of consumers, which ended within {max(consumers_s):.1f} s, "
            f"{len(workers_s)} of workers, which ended within {max(workers_s):.1f} s"
        )
        assert max(consumers_s + workers_s) < MOST_LEAVING_S
        check(bench, sent)
