"""`python -m consumers replay-dlq`: list dead letters, and put them back on their original topic.

A replayed record is a new record of its original topic. It is processed like any other, and becomes a new
dead letter if it fails again. The old dead letter stays until Kafka's retention removes it. Redis stores
which dead letters were replayed, so that the same command again does not replay them twice.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final, TextIO, cast

from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError
from redis import Redis, RedisError

from consumers.kafka.clients import make_producer
from consumers.kafka.outcome_publisher import KafkaUnavailable
from consumers.kafka.records import DEAD_LETTER_HEADERS, Outgoing
from consumers.kafka.topic_reader import read_whole_topic
from consumers.replay.arguments import count, moment, number_of
from settings import Settings
from tasks.storage.redis_connection import connect

REPLAYED_KEY: Final = "ml:dlq:replayed"
# Longer than dead letters usually stay in Kafka.
REPLAYED_KEPT_S: Final = 90 * 86_400
READ_TIMEOUT_S: Final = 10.0
SEND_TIMEOUT_S: Final = 30.0
REPLAYED_FROM: Final = "x-replayed-from"
SHOWN_REASON_CHARS: Final = 70


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead-letter topic. `dead_lettered_at` is aware UTC."""

    record: ConsumerRecord
    origin: str
    code: str
    reason: str
    attempts: str
    dead_lettered_at: datetime

    @classmethod
    def of(cls, record: ConsumerRecord) -> DeadLetter | None:
        """Decode a dead letter; None for a record without the origin headers of this service."""
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
            dead_lettered_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        )

    @property
    def place(self) -> str:
        """The position in the dead-letter topic, `PARTITION:OFFSET`."""
        return f"{self.record.partition}:{self.record.offset}"

    @property
    def identity(self) -> str:
        """Its topic, place and time: a topic that was made anew has the same places."""
        return f"{self.record.topic}:{self.place}:{self.record.timestamp}"

    @property
    def is_whole(self) -> bool:
        """Whether it contains the whole original record; one that was too large contains only its start."""
        return all(name != "x-origin-length" for name, _ in self.record.headers)

    def replayed(self) -> Outgoing:
        """The original record, with a header that contains the position of its dead letter."""
        kept = [
            (n, v or b"") for n, v in self.record.headers if n not in {*DEAD_LETTER_HEADERS, REPLAYED_FROM}
        ]
        source = f"{self.record.topic}:{self.place}".encode()
        topic = self.origin.rsplit(":", 2)[0]
        return Outgoing(topic, self.record.key, self.record.value, (*kept, (REPLAYED_FROM, source)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter of dead letters; None means any. `until` is exclusive."""

    code: str | None = None
    topic: str | None = None
    key: str | None = None
    place: str | None = None
    origin: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def includes(self, letter: DeadLetter) -> bool:
        """Whether a dead letter matches all criteria."""
        return (
            self.code in (None, letter.code)
            and self.topic in (None, letter.origin.rsplit(":", 2)[0])
            and (self.key is None or letter.record.key == self.key.encode())
            and self.place in (None, letter.place)
            and self.origin in (None, letter.origin)
            and (self.since is None or letter.dead_lettered_at >= self.since)
            and (self.until is None or letter.dead_lettered_at < self.until)
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `replay-dlq`."""
    parser.add_argument("--replay", action="store_true", help="put them back on their topic (else: list)")
    parser.add_argument("--again", action="store_true", help="with --replay: also those replayed before")
    parser.add_argument("--full", action="store_true", help="list reasons whole, however long they are")
    parser.add_argument("--code", help="only those with this error code, like scoring_failed")
    parser.add_argument("--topic", help="only those from this topic, like ocpp.events")
    parser.add_argument("--key", help="only those with this key, usually the charger's id")
    parser.add_argument("--place", help="only this one, PARTITION:OFFSET as listed")
    parser.add_argument("--origin", help="only that of this record, TOPIC:PARTITION:OFFSET")
    parser.add_argument("--since", type=moment, help="only those dead-lettered then or later (ISO 8601)")
    parser.add_argument("--until", type=moment, help="only those dead-lettered before then (ISO 8601)")
    parser.add_argument("--limit", type=count, default=1000, help="at most this many (default 1000)")


def replay_dlq(settings: Settings, arguments: argparse.Namespace, out: TextIO = sys.stdout) -> int:
    """List or replay dead letters; returns the exit code, 1 for errors of Kafka. Blocks until done."""
    wanted = Wanted(
        code=arguments.code,
        topic=arguments.topic,
        key=arguments.key,
        place=arguments.place,
        origin=arguments.origin,
        since=arguments.since,
        until=arguments.until,
    )
    try:
        records = read_whole_topic(settings, settings.kafka_topic_dead_letters, timeout_s=READ_TIMEOUT_S)
        letters = list(islice(_meant(records, wanted), arguments.limit))
        _show(letters, out, full=arguments.full)
        if arguments.replay and letters:
            _replay(settings, letters, out, again=arguments.again)
    except (KafkaError, KafkaUnavailable) as error:
        sys.stderr.write(f"Kafka at {settings.kafka_bootstrap_servers}: {type(error).__name__} {error}\n")
        return 1
    except RedisError as error:
        sys.stderr.write(
            f"Redis cannot be reached ({type(error).__name__}). It keeps which dead letters were replayed; "
            "without it some may be replayed twice.\n"
        )
        return 1
    return 0


def replayed_before(redis: Redis) -> set[bytes]:
    """The identities of dead letters that were replayed. Raises `redis.RedisError`."""
    return set(cast(list[bytes], redis.zrange(REPLAYED_KEY, 0, -1)))


def put_back(settings: Settings, redis: Redis, letters: Sequence[DeadLetter]) -> None:
    """Send whole dead letters back to their topics, and note those that were taken. Blocks for Kafka.

    Raises `KafkaError` if one was not taken, and `redis.RedisError` if they are sent and not noted.
    """
    taken: list[DeadLetter] = []
    try:
        taken.extend(_sent(settings, letters))
    finally:
        _note(redis, taken)


def _note(redis: Redis, letters: Sequence[DeadLetter]) -> None:
    if not letters:
        return
    now = time.time()
    redis.zadd(REPLAYED_KEY, {letter.identity: now for letter in letters})
    redis.zremrangebyscore(REPLAYED_KEY, "-inf", now - REPLAYED_KEPT_S)
    redis.expire(REPLAYED_KEY, REPLAYED_KEPT_S)


def _replay(settings: Settings, letters: list[DeadLetter], out: TextIO, *, again: bool) -> None:
    """Send the letters back and note them. Raises `KafkaError` and `redis.RedisError`."""
    redis = connect(settings.redis_url)
    whole = [letter for letter in letters if letter.is_whole]
    before = replayed_before(redis)
    wanted = [letter for letter in whole if again or letter.identity.encode() not in before]
    put_back(settings, redis, wanted)
    out.write(f"Replayed {len(wanted)} of them to Kafka at {settings.kafka_bootstrap_servers}.\n")
    if len(whole) > len(wanted):
        left_out = number_of(len(whole) - len(wanted), "dead letter")
        out.write(f"Left out {left_out}: replayed before. With --again they are replayed once more.\n")
    if len(letters) > len(whole):
        cut = number_of(len(letters) - len(whole), "dead letter")
        out.write(f"Left out {cut}: only the beginning of the record was kept.\n")


def _meant(records: Iterable[ConsumerRecord], wanted: Wanted) -> Iterator[DeadLetter]:
    for record in records:
        letter = DeadLetter.of(record)
        if letter is not None and wanted.includes(letter):
            yield letter


def _show(letters: list[DeadLetter], out: TextIO, *, full: bool) -> None:
    out.write(f"{'place':<10} {'dead-lettered at':<20} {'code':<18} {'tries':<5} {'key':<20} reason\n")
    for letter in letters:
        key = (letter.record.key or b"").decode("utf-8", "replace")
        reason = letter.reason.replace("\n", " ")
        if len(reason) > SHOWN_REASON_CHARS and not full:
            reason = f"{reason[: SHOWN_REASON_CHARS - 1]}…"
        out.write(
            f"{letter.place:<10} {letter.dead_lettered_at:%Y-%m-%dT%H:%M:%SZ} {letter.code:<18} "
            f"{letter.attempts:<5} {key:<20} {reason}\n"
        )
    codes = ", ".join(f"{code} {n}" for code, n in Counter(letter.code for letter in letters).most_common())
    out.write(f"{number_of(len(letters), 'dead letter')}{f': {codes}' if codes else ''}.\n")


def _sent(settings: Settings, letters: Sequence[DeadLetter]) -> Iterator[DeadLetter]:
    """Send all letters, and give each that the broker has taken. Then raises `KafkaError` if one was not."""
    if not letters:
        return
    producer: KafkaProducer = make_producer(settings)
    problem: Exception | None = None
    away: set[str] = set()  # topics: waiting for one again would take as long again
    sent = []
    try:
        for letter in letters:
            record = letter.replayed()
            if record.topic in away:
                continue
            try:
                headers = list(record.headers)
                sent.append(
                    (letter, producer.send(record.topic, record.value, key=record.key, headers=headers))
                )
            except KafkaError as error:
                problem = error
                away.add(record.topic)
        try:
            producer.flush(SEND_TIMEOUT_S)
        except KafkaError as error:
            problem = error
    finally:
        producer.close(timeout=1)
    for letter, future in sent:
        if future.succeeded():
            yield letter
        else:
            problem = future.exception or problem
    if problem is not None:
        raise problem
