"""When a recorded reading is due, and which time it then names."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from consumers.replay.replay_readings import Rhythm, record
from readings.reading import FUTURE_TOLERANCE, Reading

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rhythm(speed: float, *, shifted: bool = True) -> Rhythm:
    return Rhythm(FIRST, FIRST + 24 * HOUR, speed, NOW, shifted)


def test_sixty_is_an_hour_a_minute_and_infinite_is_at_once() -> None:
    assert rhythm(60).due_s(FIRST + HOUR) == 60
    assert rhythm(math.inf).due_s(FIRST + HOUR) == 0


def test_the_last_reading_gets_the_time_of_its_sending() -> None:
    assert FIRST + 24 * HOUR + rhythm(60).shift == NOW + timedelta(minutes=24)
    assert FIRST + 24 * HOUR + rhythm(math.inf).shift == NOW
    assert rhythm(1, shifted=False).shift == timedelta(0)


@given(st.floats(0.01, 1e6) | st.just(math.inf), st.floats(0, 24))
def test_no_reading_is_sent_before_its_time(speed: float, hours: float) -> None:
    found, moment = rhythm(speed), FIRST + timedelta(hours=hours)
    sent_at = NOW + timedelta(seconds=found.due_s(moment))
    assert moment + found.shift <= sent_at + FUTURE_TOLERANCE / 100


def test_a_record_says_what_was_recorded_at_its_new_time() -> None:
    reading = Reading(
        "A", "CHARGING", FIRST, power=7.4, error_codes=(), last_maintenance=FIRST - HOUR, total_sessions=3
    )
    sent = record(reading, topic="in", shift=timedelta(days=1), tenant="acme")
    assert (sent.topic, sent.key) == ("in", b"A")
    assert orjson.loads(sent.value or b"") == {
        "charger_id": "A",
        "connector_status": "CHARGING",
        "timestamp": "2025-01-02T00:00:00Z",
        "power": 7.4,
        "error_codes": [],
        "total_sessions": 3,
        "last_maintenance": "2025-01-01T23:00:00Z",
        "tenant_id": "acme",
    }
