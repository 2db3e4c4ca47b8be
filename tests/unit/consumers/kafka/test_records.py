"""What may stand in a record, and what comes out for it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from consumers.kafka.records import (
    DEAD_LETTER_MAX_BYTES,
    KEPT_KEY_BYTES,
    KEPT_VALUE_BYTES,
    Received,
    Scored,
    dead_letter,
    prediction,
    read,
    scored,
    shortened,
)
from errors import InvalidReading, MalformedBody, ScoringFailed
from readings.reading import Reading
from tasks.messaging.messages import ScoreResult

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
READING = Reading("EVZ-1", "CHARGING", NOW)
FLAT = {"charger_id": "EVZ-1", "connector_status": "Charging", "temperature": 41.0}


def received(value: object = FLAT, **changes: Any) -> Received:
    raw = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
    fields: dict[str, Any] = {"topic": "in", "partition": 3, "offset": 17, "key": b"EVZ-1", "value": raw}
    return Received(**(fields | changes))


def test_a_flat_reading() -> None:
    reading, tenant = read(received(), now=NOW)
    assert (reading.charger_id, reading.connector_status, reading.temperature) == ("EVZ-1", "CHARGING", 41.0)
    assert tenant is None


@pytest.mark.parametrize("name", ["tenant_id", "operator_id"])
def test_an_envelope_names_tenant_charger_and_time(name: str) -> None:
    metrics = {"connector_status": "AVAILABLE"}
    envelope = {"charger_id": "EVZ-2", "metrics": metrics, name: "acme", "timestamp": "2026-11-20T08:00:00Z"}
    reading, tenant = read(received(envelope), now=NOW)
    assert (reading.charger_id, tenant) == ("EVZ-2", "acme")
    assert reading.timestamp == NOW - timedelta(minutes=30)
    assert reading.stated_at


def test_the_time_in_metrics_wins_over_the_envelopes() -> None:
    metrics = FLAT | {"timestamp": "2026-11-20T07:00:00Z"}
    reading, _ = read(received({"metrics": metrics, "timestamp": "2026-11-20T08:00:00Z"}), now=NOW)
    assert reading.timestamp == NOW - timedelta(minutes=90)


def test_what_is_wrong_is_named_where_it_stands() -> None:
    metrics = {"connector_status": "AVAILABLE", "last_maintenance": "2027-01-01T00:00:00Z"}
    envelope = {"charger_id": "EVZ-2", "metrics": metrics, "timestamp": "2027-01-01T00:00:00Z"}
    with pytest.raises(InvalidReading) as caught:
        read(received(envelope), now=NOW)
    assert [error.pointer for error in caught.value.errors] == ["/timestamp", "/metrics/last_maintenance"]


def test_an_unknown_field_called_metrics_does_not_make_an_envelope() -> None:
    reading, _ = read(received(FLAT | {"metrics": "v2"}), now=NOW)
    assert reading.charger_id == "EVZ-1"


def test_a_record_that_names_no_time_is_from_when_kafka_recorded_it() -> None:
    recorded = NOW - timedelta(minutes=5)
    reading, _ = read(received(recorded_at=recorded.timestamp()), now=NOW)
    assert reading.timestamp == recorded
    assert not reading.stated_at


@pytest.mark.owasp("API10", "a Kafka record's recorded time in the future is not believed")
def test_a_recorded_time_ahead_of_the_clock_is_not_believed() -> None:
    for recorded_at in ((NOW + timedelta(days=1)).timestamp(), 2**63 / 1000):
        reading, _ = read(received(recorded_at=recorded_at), now=NOW)
        assert reading.timestamp == NOW


@pytest.mark.parametrize(
    ("value", "error", "named"),
    [
        (None, MalformedBody, "empty"),
        (b"", MalformedBody, "empty"),
        (b"{bad", MalformedBody, "JSON"),
        (b"\xff\xfe\x00", MalformedBody, "JSON"),
        (b"[" * 100_000, MalformedBody, "JSON"),
        ([FLAT], InvalidReading, "object"),
        (7, InvalidReading, "object"),
        ({"charger_id": "EVZ-1"}, InvalidReading, "connector_status"),
        (FLAT | {"temperature": "hot"}, InvalidReading, "/temperature"),
        (b'{"charger_id":"A","connector_status":"AVAILABLE","power":NaN}', InvalidReading, "/power"),
        (FLAT | {"timestamp": "2027-01-01T00:00:00Z"}, InvalidReading, "/timestamp"),
        ({"charger_id": "EVZ-2", "metrics": FLAT}, InvalidReading, "/charger_id"),
        ({"metrics": [1]}, InvalidReading, "/metrics"),
        ({"metrics": FLAT | {"power": -1}}, InvalidReading, "/metrics/power"),
        (FLAT | {"tenant_id": "a b"}, InvalidReading, "/tenant_id"),
        (FLAT | {"operator_id": 7}, InvalidReading, "/operator_id"),
        (FLAT | {"tenant_id": "acme\n"}, InvalidReading, "/tenant_id"),
    ],
)
def test_what_cannot_be_read_says_why(value: object, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        read(received(value), now=NOW)


def failure_verdict(**changes: Any) -> bytes:
    return orjson.dumps(
        {"charger_id": "EVZ-1", "failure_probability": 0.2, "in_failure": False, "cached": False} | changes
    )


def test_a_prediction_is_the_verdict_as_it_is_and_which_record_it_is_of() -> None:
    verdicts = scored(READING, None, ScoreResult(failure_verdict(), headline_score=0.2), None)
    record = prediction(received(), verdicts, topic="predictions")
    assert (record.topic, record.key) == ("predictions", b"EVZ-1")
    origin = {"event_id": "in:3:17", "source": {"topic": "in", "partition": 3, "offset": 17}}
    assert orjson.loads(record.value or b"") == orjson.loads(failure_verdict()) | origin


@pytest.mark.parametrize("gists", [(0.2, True), (None, None)])
def test_what_alerts_need_of_verdicts_is_their_gist_or_decoded_where_an_older_worker_gives_none(
    gists: tuple[float | None, bool | None],
) -> None:
    failure, anomaly = failure_verdict(), b'{"is_anomaly":true}'
    found = scored(
        READING,
        "acme",
        ScoreResult(failure, headline_score=gists[0]),
        ScoreResult(anomaly, headline_score=gists[1]),
    )
    assert found == Scored("EVZ-1", "acme", False, 0.2, failure, True, anomaly)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"failure_probability":null}'])
def test_what_is_no_verdict_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        scored(READING, None, ScoreResult(body), None)


def test_a_dead_letter_is_the_record_as_it_came_and_why() -> None:
    came = received(b"\x00bad", key=None, headers=[("trace", b"1"), ("empty", None)])
    letter = dead_letter(came, ScoringFailed("no"), attempts=3, topic="dead")
    assert (letter.topic, letter.key, letter.value) == ("dead", None, b"\x00bad")
    assert letter.headers == (
        ("trace", b"1"),
        ("empty", b""),
        ("x-origin-topic", b"in"),
        ("x-origin-partition", b"3"),
        ("x-origin-offset", b"17"),
        ("x-error-code", b"scoring_failed"),
        ("x-error-reason", b"no"),
        ("x-attempts", b"3"),
    )


def test_a_replayed_record_that_fails_again_has_each_header_once() -> None:
    first = dead_letter(received(b"bad"), ScoringFailed("first"), attempts=1, topic="dead")
    again = received(b"bad", offset=18, headers=first.headers)
    letter = dead_letter(again, ScoringFailed("again"), attempts=1, topic="dead")
    names = [name for name, _ in letter.headers]
    assert len(names) == len(set(names))
    assert dict(letter.headers)["x-origin-offset"] == b"18"


def test_a_record_with_neither_key_nor_value_can_be_a_dead_letter() -> None:
    assert dead_letter(received(None, key=None), MalformedBody("x"), attempts=1, topic="dead").value == b""


def test_a_long_reason_is_cut() -> None:
    letter = dead_letter(received(), MalformedBody("x" * 9999), attempts=1, topic="dead")
    assert len(dict(letter.headers)["x-error-reason"]) == 1000


def test_a_dead_letter_that_is_too_large_keeps_the_beginning_its_length_and_its_digest() -> None:
    value = bytes(range(256)) * 40_000
    came = received(value, key=b"k" * 5_000, headers=[("trace", b"1"), ("huge", b"x" * 100_000)])
    letter = dead_letter(came, MalformedBody("x"), attempts=1, topic="dead")
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"k" * KEPT_KEY_BYTES, value[:KEPT_VALUE_BYTES])
    assert headers["x-origin-length"] == b"10240000"
    assert headers["x-origin-sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert headers["trace"] == b"1"
    assert "huge" not in headers
    assert headers["x-error-code"] == b"malformed_body"


def test_a_shortened_dead_letter_is_not_shortened_again() -> None:
    letter = shortened(dead_letter(received(b"x" * 900_000), MalformedBody("x"), attempts=1, topic="dead"))
    assert shortened(letter) is letter
    assert dict(letter.headers)["x-origin-length"] == b"900000"


def test_huge_headers_alone_make_a_dead_letter_too_large_too() -> None:
    came = received(b"{bad", headers=[("huge", b"x" * DEAD_LETTER_MAX_BYTES)])
    letter = dead_letter(came, MalformedBody("x"), attempts=1, topic="dead")
    assert letter.value == b"{bad"
    assert "huge" not in dict(letter.headers)


def test_a_dead_letter_of_64_kb_is_not_shortened() -> None:
    letter = dead_letter(received(b"x" * 60_000), MalformedBody("x"), attempts=1, topic="dead")
    assert shortened(letter) is letter
