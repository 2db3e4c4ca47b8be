"""`python -m consumers replay-dlq`: look at dead letters, and put them back where they came from.

A replayed record is a new one on its original topic: it is scored like any other, and if it fails again it
becomes a new dead letter. The old one stays; Kafka's retention removes it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final, TextIO

from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from consumers.kafka.clients import make_producer
from consumers.kafka.outcome_publisher import KafkaUnavailable
from consumers.kafka.records import DEAD_LETTER_HEADERS, Outgoing
from consumers.kafka.topic_reader import read_whole_topic
from consumers.replay.arguments import count, moment, number_of
from settings import Settings

READ_TIMEOUT_S: Final = 10.0
SEND_TIMEOUT_S: Final = 30.0
REPLAYED_FROM: Final = "x-replayed-from"
SHOWN_REASON_CHARS: Final = 70


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead-letter topic. `buried_at` is aware UTC."""

    record: ConsumerRecord
    origin: str
    code: str
    reason: str
    attempts: str
    buried_at: datetime

    @classmethod
    def of(cls, record: ConsumerRecord) -> DeadLetter | None:
        """None for a record that is no dead letter of ours: it says not where it came from."""
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        if "x-origin-topic" not in said:
            return None
        origin = (said.get(f"x-origin-{part}", "?") for part in ("topic", "partition", "offset"))
        return cls(
            record=record,
            origin=":".join(origin),
            code=said.get("x-error-code", "?"),
            reason=said.get("x-error-reason", ""),
            attempts=said.get("x-attempts", "?"),
            buried_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        )

    @property
    def place(self) -> str:
        return f"{self.record.partition}:{self.record.offset}"

    @property
    def is_whole(self) -> bool:
        """Whether it holds the original record. One that was too large holds only its beginning."""
        return all(name != "x-origin-length" for name, _ in self.record.headers)

    def replayed(self) -> Outgoing:
        """The original record, with a header that says which dead letter it comes from."""
        kept = [
            (n, v or b"") for n, v in self.record.headers if n not in {*DEAD_LETTER_HEADERS, REPLAYED_FROM}
        ]
        source = f"{self.record.topic}:{self.place}".encode()
        topic = self.origin.rsplit(":", 2)[0]
        return Outgoing(topic, self.record.key, self.record.value, (*kept, (REPLAYED_FROM, source)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are meant. `None` means any."""

    code: str | None = None
    topic: str | None = None
    key: str | None = None
    place: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def includes(self, letter: DeadLetter) -> bool:
        return (
            self.code in (None, letter.code)
            and self.topic in (None, letter.origin.rsplit(":", 2)[0])
            and (self.key is None or letter.record.key == self.key.encode())
            and self.place in (None, letter.place)
            and (self.since is None or letter.buried_at >= self.since)
            and (self.until is None or letter.buried_at < self.until)
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--replay", action="store_true", help="put them back on their topic (else: list)")
    parser.add_argument("--full", action="store_true", help="list reasons whole, however long they are")
    parser.add_argument("--code", help="only those with this error code, like scoring_failed")
    parser.add_argument("--topic", help="only those from this topic, like ocpp.events")
    parser.add_argument("--key", help="only those with this key, usually the charger's id")
    parser.add_argument("--place", help="only this one, PARTITION:OFFSET as listed")
    parser.add_argument("--since", type=moment, help="only those buried at this time or later (ISO 8601)")
    parser.add_argument("--until", type=moment, help="only those buried before this time (ISO 8601)")
    parser.add_argument("--limit", type=count, default=1000, help="at most this many (default 1000)")


def replay_dlq(settings: Settings, arguments: argparse.Namespace, out: TextIO = sys.stdout) -> int:
    """List or replay dead letters; the exit code. Blocks until it is done."""
    wanted = Wanted(
        arguments.code, arguments.topic, arguments.key, arguments.place, arguments.since, arguments.until
    )
    try:
        records = read_whole_topic(settings, settings.kafka_topic_dead_letters, timeout_s=READ_TIMEOUT_S)
        letters = list(islice(_meant(records, wanted), arguments.limit))
        _show(letters, out, full=arguments.full)
        if arguments.replay and letters:
            whole = [letter for letter in letters if letter.is_whole]
            _send(settings, [letter.replayed() for letter in whole])
            out.write(f"Replayed {len(whole)} of them.\n")
            if len(whole) < len(letters):
                cut = number_of(len(letters) - len(whole), "dead letter")
                out.write(f"Left out {cut}: only the beginning of the record was kept.\n")
    except (KafkaError, KafkaUnavailable) as error:
        sys.stderr.write(f"Kafka at {settings.kafka_bootstrap_servers}: {type(error).__name__} {error}\n")
        return 1
    return 0


def _meant(records: Iterable[ConsumerRecord], wanted: Wanted) -> Iterator[DeadLetter]:
    for record in records:
        letter = DeadLetter.of(record)
        if letter is not None and wanted.includes(letter):
            yield letter


def _show(letters: list[DeadLetter], out: TextIO, *, full: bool) -> None:
    out.write(f"{'place':<10} {'buried at':<20} {'code':<18} {'tries':<5} {'key':<20} reason\n")
    for letter in letters:
        key = (letter.record.key or b"").decode("utf-8", "replace")
        reason = letter.reason.replace("\n", " ")
        if len(reason) > SHOWN_REASON_CHARS and not full:
            reason = f"{reason[: SHOWN_REASON_CHARS - 1]}…"
        out.write(
            f"{letter.place:<10} {letter.buried_at:%Y-%m-%dT%H:%M:%SZ} {letter.code:<18} "
            f"{letter.attempts:<5} {key:<20} {reason}\n"
        )
    codes = ", ".join(f"{code} {n}" for code, n in Counter(letter.code for letter in letters).most_common())
    out.write(f"{number_of(len(letters), 'dead letter')}{f': {codes}' if codes else ''}.\n")


def _send(settings: Settings, records: list[Outgoing]) -> None:
    """All of them, acknowledged. Raises `KafkaError`; those before the failing one may be out."""
    producer: KafkaProducer = make_producer(settings)
    try:
        sent = [
            producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
            for record in records
        ]
        producer.flush(SEND_TIMEOUT_S)
        for future in sent:
            future.get(SEND_TIMEOUT_S)
    finally:
        producer.close(timeout=1)
