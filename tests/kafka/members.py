"""Processes that are killed or restarted and always come back, and what a run says of itself."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.integration.stream_bench import StreamBench, stream_bench
from tests.kafka import broker
from tests.processes import Process
from tests.services import start_redis

LEAVE_TIMEOUT_S: Final = 30.0
SOAK: Final = os.environ.get("SOAK") == "1"
SEED: Final = int(os.environ.get("SEED", "0")) or random.randrange(1, 10**6)


def say(text: str) -> None:
    """For the report of a failed run, or of any with `-s`."""
    print(text)  # noqa: T201 - which run it was, if it fails


@contextmanager
def bench_on_apache_kafka(folder: Path, *, max_poll_records: int) -> Iterator[StreamBench]:
    """A stream that is exactly once and soon notices who has died. Skips where Kafka cannot be had."""
    broker.require()
    with (
        start_redis() as redis,
        broker.ApacheKafka() as kafka,
        stream_bench(
            redis,
            kafka,
            folder,
            KAFKA_TRANSACTIONS="on",
            KAFKA_MAX_POLL_RECORDS=str(max_poll_records),
            KAFKA_SESSION_TIMEOUT="6",
        ) as bench,
    ):
        yield bench


class Members:
    """So many processes, by number. Safe to share between threads."""

    def __init__(self, count: int, start: Callable[[int], Process]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self.processes = [start(number) for number in range(count)]
        self.kills = 0

    def revive(self) -> None:
        """Start those again that have ended."""
        with self._lock:
            self._revive()

    def _revive(self) -> None:
        for number, process in enumerate(self.processes):
            if process.has_ended():
                self.processes[number] = self._start(number)

    def kill(self, chance: random.Random) -> None:
        """SIGKILL to one, picked at random, and to its children."""
        with self._lock:
            self._revive()  # or a dead one might be killed, which is none
            chance.choice(self.processes).kill()
            self.kills += 1

    def stop(self, number: int) -> float:
        """SIGTERM to one; how long it took to end, seconds. Its exit code must be 0."""
        process = self.processes[number]
        started = time.monotonic()
        code = process.end(LEAVE_TIMEOUT_S)
        took_s = time.monotonic() - started
        process.kill()  # its children, if it has left any
        assert code == 0, process.log()[-3000:]
        return took_s


@contextmanager
def meanwhile(step: Callable[[], None], *, pause_s: float = 0.0) -> Iterator[None]:
    """Repeat a step in a thread of its own, with a pause before each; the last one is over at the end."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(pause_s):
            step()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def always_revived(*kinds: Members) -> Iterator[None]:
    """Start each process that ends again at once, from a separate thread."""

    def revive() -> None:
        for members in kinds:
            members.revive()

    with meanwhile(revive, pause_s=0.2):
        yield


class Doom:
    """Consumers that die between the last send and the commit, each time with `probability`, `most` times."""

    def __init__(self, bench: StreamBench, *, probability: float, most: int, role: str = "consumer") -> None:
        self._bench = bench
        self._role = role
        self._file = bench.folder / "deaths"
        self._arguments = [str(probability), str(most), str(self._file), *(["ocpp"] * (role == "ocpp"))]

    def start(self, _number: int = 0) -> Process:
        return self._bench.start(self._role, ["-m", "tests.kafka.doomed", *self._arguments])

    @property
    def deaths(self) -> int:
        return len(self._file.read_text().splitlines()) if self._file.exists() else 0
