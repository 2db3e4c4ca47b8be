"""Which dead letters are meant, and that what goes back is what came."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaTimeoutError

from consumers.kafka.records import Received, dead_letter
from consumers.replay import dead_letters
from consumers.replay.dead_letters import DeadLetter, Wanted, _show, put_back
from errors import ScoringFailed
from tests.processes import settings_for

BURIED = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)


def record(headers: list[tuple[str, bytes]], value: bytes | None = b"{bad") -> Any:
    return ConsumerRecord(  # type: ignore[call-arg]  # a namedtuple; the stub names what we read
        topic="dlq", partition=2, leader_epoch=0, offset=9, timestamp=int(BURIED.timestamp() * 1000),
        timestamp_type=0, key=b"EVZ-1", value=value, headers=headers, checksum=None,
        serialized_key_size=0, serialized_value_size=0, serialized_header_size=0,
    )  # fmt: skip


def a_letter(reason: str = "no", *, topic: str = "in", offset: int = 9) -> DeadLetter:
    came = Received(topic, 3, 17, b"EVZ-1", b"{bad", headers=[("trace", b"1")])
    headers = dead_letter(came, ScoringFailed(reason), attempts=3, topic="dlq").headers
    letter = DeadLetter.of(record(list(headers))._replace(offset=offset))
    assert letter is not None
    return letter


def test_a_dead_letter_says_where_it_came_from_and_why() -> None:
    letter = a_letter()
    assert (letter.origin, letter.code, letter.reason, letter.attempts) == (
        "in:3:17", "scoring_failed", "no", "3",
    )  # fmt: skip
    assert (letter.place, letter.dead_lettered_at) == ("2:9", BURIED)


def test_what_goes_back_is_what_came() -> None:
    back = a_letter().replayed()
    assert (back.topic, back.key, back.value) == ("in", b"EVZ-1", b"{bad")
    assert back.headers == (("trace", b"1"), ("x-replayed-from", b"dlq:2:9"))


class BrokerWithoutTopic:
    """A producer whose broker lacks the topic `gone`, and refuses the record with the key of offset 3."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def send(self, topic: str, value: bytes, *, key: bytes, headers: list[tuple[str, bytes]]) -> Any:
        self.asked.append(topic)
        if topic == "gone":
            raise KafkaTimeoutError("no such topic")
        refused = dict(headers)["x-replayed-from"] == b"dlq:2:3"
        return SimpleNamespace(
            succeeded=lambda: not refused, exception=KafkaTimeoutError("refused") if refused else None
        )

    def flush(self, timeout: float) -> None:
        pass

    def close(self, timeout: float) -> None:
        pass


def test_letters_that_were_taken_are_noted_though_others_were_not(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, redis = BrokerWithoutTopic(), Mock()
    monkeypatch.setattr(dead_letters, "make_producer", lambda settings: broker)
    letters = [a_letter(topic="gone" if offset in (1, 4) else "in", offset=offset) for offset in range(6)]
    with pytest.raises(KafkaTimeoutError):
        put_back(settings_for(), redis, letters)
    ((_, noted), _) = redis.zadd.call_args
    assert list(noted) == [letters[offset].identity for offset in (0, 2, 5)]
    # Each waits for its topic as long as the client allows: only the first one does.
    assert broker.asked.count("gone") == 1


def test_a_letter_that_holds_only_the_beginning_of_its_record_is_not_put_back() -> None:
    came = Received("in", 3, 17, b"EVZ-1", b"x" * 5_000_000)
    cut = dead_letter(came, ScoringFailed("no"), attempts=3, topic="dlq")
    letter = DeadLetter.of(record(list(cut.headers), cut.value))
    assert letter is not None
    assert not letter.is_whole
    assert a_letter().is_whole


def test_other_records_on_the_topic_are_left_alone() -> None:
    assert DeadLetter.of(record([("x", b"y")])) is None


@pytest.mark.parametrize(
    ("wanted", "included"),
    [
        (Wanted(), True),
        (Wanted(code="scoring_failed", key="EVZ-1", place="2:9"), True),
        (Wanted(code="malformed_body"), False),
        (Wanted(topic="in"), True),
        (Wanted(topic="out"), False),
        (Wanted(key="EVZ-2"), False),
        (Wanted(place="2:8"), False),
        (Wanted(since=BURIED, until=BURIED + timedelta(seconds=1)), True),
        (Wanted(since=BURIED + timedelta(seconds=1)), False),
        (Wanted(until=BURIED), False),
    ],
)
def test_filters(wanted: Wanted, *, included: bool) -> None:
    assert wanted.includes(a_letter()) is included


@pytest.mark.parametrize("full", [False, True])
def test_reasons_are_listed_whole_where_that_is_wanted(*, full: bool) -> None:
    reason = " ".join(f"/field_{number}: Not a valid number." for number in range(9))
    out = io.StringIO()
    _show([a_letter(reason)], out, full=full)
    _, line, last = out.getvalue().splitlines()
    assert line.endswith(reason if full else f" {reason[:69]}…")
    assert last == "1 dead letter: scoring_failed 1."
