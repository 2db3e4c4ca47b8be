"""Readings and OCPP events that flow through Kafka while consumers of two releases share its partitions."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Final

from tests.compat.faults import Book
from tests.integration.stream_bench import StreamBench
from tests.kafka import lives, outcomes
from tests.kafka.lives import EVENTS
from tests.kafka.outcomes import Sent, produce, wait_until_committed

RATE_PER_S: Final = 80.0
AT_ONCE: Final = 80
CHARGERS: Final = 60
COMMITTED_WITHIN_S: Final = 60.0
GROUP: Final = "evzone-ml"
# The OCPP process writes to topics of its own here, so that each offset of the input is one of `Sent`.
OCPP_READINGS: Final = "ocpp.readings"
OCPP_DEAD_LETTERS: Final = "ocpp.readings.dlq"
OCPP_GROUP: Final = f"{GROUP}-ocpp"
CHARGE_POINTS: Final = 10
SESSIONS: Final = 12


class Flow:
    """Readings at a steady rate from a thread, OCPP events in portions."""

    def __init__(self, bench: StreamBench, book: Book, *, portions: int) -> None:
        self._bench = bench
        self._book = book
        self._sent = Sent()
        self._chance = random.Random(1)
        self._lives = {
            name: lives.life(name, self._chance, SESSIONS)
            for name in (f"CP-{number}" for number in range(CHARGE_POINTS))
        }
        self._portions = _portions(self._lives, portions, self._chance)
        self._events = 0

    def run(self, over: threading.Event) -> None:
        """Readings until `over`."""
        while not over.is_set():
            before = len(self._sent.all)
            produce(
                self._bench,
                self._sent,
                count=AT_ONCE,
                rate=RATE_PER_S,
                chargers=CHARGERS,
                chance=self._chance,
            )
            self._book.count("stream readings", len(self._sent.all) - before)

    def send_events(self) -> None:
        """The next portion of OCPP events, all at once."""
        portion = next(self._portions)
        for name, record in portion:
            self._bench.producer.send(EVENTS, record, key=name.encode())
        self._bench.producer.flush(30)
        self._events += len(portion)
        self._book.count("OCPP events", len(portion))

    def wait_until_worked_off(self) -> None:
        """Until each reading and event sent so far has its outcome; more may come meanwhile."""
        wait_until_committed(self._bench, len(self._sent.all), timeout_s=COMMITTED_WITHIN_S)
        wait_until_committed(
            self._bench, self._events, timeout_s=COMMITTED_WITHIN_S, topic=EVENTS, group_id=OCPP_GROUP
        )

    def check(self) -> None:
        """Everything sent has exactly one outcome. Call it when nothing flows any more."""
        for portion in self._portions:
            assert not portion, "OCPP events were left over"
        self.wait_until_worked_off()
        outcomes.check(self._bench, self._sent)
        lives.check(
            self._bench, self._lives, readings_topic=OCPP_READINGS, dead_letters_topic=OCPP_DEAD_LETTERS
        )


def _portions(
    lives_of: dict[str, list[bytes]], count: int, chance: random.Random
) -> Iterator[list[tuple[str, bytes]]]:
    """All lives, mixed, each in its order, in `count` portions of about the same size."""
    waiting = {name: iter(records) for name, records in lives_of.items()}
    turns = [name for name, records in lives_of.items() for _ in records]
    chance.shuffle(turns)
    everything = [(name, next(waiting[name])) for name in turns]
    for number in range(count):
        yield everything[number * len(everything) // count : (number + 1) * len(everything) // count]
