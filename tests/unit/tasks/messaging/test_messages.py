"""What travels between askers and workers, and that releases N and N-1 understand each other."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from readings.reading import Kind, Reading
from tasks.messaging.messages import (
    ScoreMessage,
    ScoreRequest,
    ScoreResult,
    decode_reply,
    encode_reply,
    requests_in,
)
from tasks.messaging.names import NEWEST_SCHEMA, SCHEMA_VERSION
from tasks.messaging.reading_columns import from_columns, to_columns

READING = Reading("A", "CHARGING", datetime(2026, 1, 1, tzinfo=UTC), temperature=41.0, error_codes=("X",))
MESSAGE = ScoreMessage(
    "b1", "ml:reply:x", [ScoreRequest("failure", "t", READING, "f", 123.0)], source="rest", sent_at=1.0
)


def test_a_message_survives_json() -> None:
    assert ScoreMessage.decode(orjson.loads(orjson.dumps(MESSAGE.encode()))) == MESSAGE


def test_asks_about_one_reading_share_it_after_the_journey_too() -> None:
    other = READING._replace(charger_id="B")
    score_requests = [
        ScoreRequest("failure", "t", READING, "f", 1.0),
        ScoreRequest("anomaly", "t", READING, "f", 1.0),
        ScoreRequest("failure", "t", other, "g", 1.0),
    ]
    message = ScoreMessage("b1", "ml:reply:x", score_requests, source="kafka", sent_at=1.0)
    first, second, third = ScoreMessage.decode(orjson.loads(orjson.dumps(message.encode()))).score_requests
    assert first.reading is second.reading
    assert third.reading == other


FULL = READING._replace(
    energy_delivered=1.5, power=7.4, uptime_hours=3.0, total_sessions=9, stated_at=False,
    last_maintenance=datetime(2025, 6, 1, 12, 30, 0, 123000, tzinfo=UTC), metadata={"site": "Berlin"},
)  # fmt: skip
BARE = Reading("B", "AVAILABLE", datetime(2026, 1, 1, 8, 0, 0, 1000, tzinfo=UTC))


@pytest.mark.parametrize("readings", [[FULL, BARE], [BARE, FULL], [BARE], [FULL], [BARE, BARE]])
@pytest.mark.parametrize("kinds", [("failure", "anomaly"), ("failure",)])
def test_readings_in_columns_are_the_same_asks_after_the_journey(
    readings: list[Reading], kinds: tuple[Kind, ...]
) -> None:
    # Equal ones are told apart: the consumer's asks about one reading share the object.
    readings = [reading._replace() for reading in readings]
    score_requests = [
        ScoreRequest(kind, None if place else "t", reading, f"f{place}", 1.0 + place)
        for place, reading in enumerate(readings)
        for kind in kinds
    ]
    message = ScoreMessage("b1", "ml:reply:x", score_requests, source="kafka", sent_at=1.0)
    raw = orjson.loads(orjson.dumps(message.encode_columns()))
    decoded = ScoreMessage.decode(raw)
    assert decoded == message
    assert decoded.score_requests[0].reading is decoded.score_requests[len(kinds) - 1].reading
    assert requests_in(raw) == requests_in(message.encode()) == len(score_requests)


def test_a_column_of_a_newer_release_is_ignored_and_one_it_dropped_is_missing() -> None:
    columns = to_columns([FULL, BARE]) | {"colour": ["red", "blue"]}
    del columns["power"]
    assert from_columns(columns) == [FULL._replace(power=None), BARE]


def test_only_a_message_in_columns_is_too_new_for_the_first_schema() -> None:
    assert MESSAGE.encode()["v"] == SCHEMA_VERSION == 1
    assert MESSAGE.encode_columns()["v"] == NEWEST_SCHEMA


def test_a_newer_field_is_ignored_and_a_newer_schema_refused() -> None:
    assert ScoreMessage.decode(MESSAGE.encode() | {"colour": "red"}) == MESSAGE
    with pytest.raises(ValueError, match="newer"):
        ScoreMessage.decode(MESSAGE.encode() | {"v": NEWEST_SCHEMA + 1})


def test_a_reply_keeps_bodies_as_they_are_and_errors_in_their_place() -> None:
    answers = [
        ScoreResult(body=b'{"charger_id":"A"}', headline_score=0.25),
        ScoreResult(error_code="scoring_failed", error_detail="two\nlines"),
        ScoreResult(body=b"{}", headline_score=False, alert_at=0.3),
    ]
    assert decode_reply(encode_reply("b1", answers)) == ("b1", answers)


def test_a_reply_of_an_older_worker_lacks_only_the_gists() -> None:
    raw = b'{"v":1,"batch_id":"b1","errors":[null,"scoring_failed"]}\n{"charger_id":"A"}\n"no"'
    answers = [
        ScoreResult(b'{"charger_id":"A"}'),
        ScoreResult(error_code="scoring_failed", error_detail="no"),
    ]
    assert decode_reply(raw) == ("b1", answers)


@pytest.mark.owasp("API10", "a worker's reply that is none is refused")
@pytest.mark.parametrize("raw", [b"", b"x", b"{}", b'{"batch_id":"b","errors":[null]}', b"[]"])
def test_what_is_no_reply_is_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode_reply(raw)
