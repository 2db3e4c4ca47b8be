"""What travels between askers and workers, and that releases N and N-1 understand each other."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from models.reading import Reading
from tasks.messages import Answer, Ask, ScoreMessage, decode_reply, encode_reply
from tasks.names import SCHEMA_VERSION

READING = Reading("A", "CHARGING", datetime(2026, 1, 1, tzinfo=UTC), temperature=41.0, error_codes=("X",))
MESSAGE = ScoreMessage(
    "b1", "ml:reply:x", [Ask("failure", "t", READING, "f", 123.0)], door="rest", sent_at=1.0
)


def test_a_message_survives_json() -> None:
    assert ScoreMessage.decode(orjson.loads(orjson.dumps(MESSAGE.encode()))) == MESSAGE


def test_asks_about_one_reading_share_it_after_the_journey_too() -> None:
    other = READING._replace(charger_id="B")
    asks = [
        Ask("failure", "t", READING, "f", 1.0),
        Ask("anomaly", "t", READING, "f", 1.0),
        Ask("failure", "t", other, "g", 1.0),
    ]
    message = ScoreMessage("b1", "ml:reply:x", asks, door="kafka", sent_at=1.0)
    first, second, third = ScoreMessage.decode(orjson.loads(orjson.dumps(message.encode()))).asks
    assert first.reading is second.reading
    assert third.reading == other


def test_a_newer_field_is_ignored_and_a_newer_schema_refused() -> None:
    assert ScoreMessage.decode(MESSAGE.encode() | {"colour": "red"}) == MESSAGE
    with pytest.raises(ValueError, match="newer"):
        ScoreMessage.decode(MESSAGE.encode() | {"v": SCHEMA_VERSION + 1})


def test_a_reply_keeps_bodies_as_they_are_and_errors_in_their_place() -> None:
    answers = [
        Answer(body=b'{"charger_id":"A"}'),
        Answer(error_code="scoring_failed", error_detail="two\nlines"),
        Answer(body=b"{}"),
    ]
    assert decode_reply(encode_reply("b1", answers)) == ("b1", answers)


@pytest.mark.parametrize("raw", [b"", b"x", b"{}", b'{"batch_id":"b","errors":[null]}', b"[]"])
def test_what_is_no_reply_is_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode_reply(raw)
