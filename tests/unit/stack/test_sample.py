"""The sample's sessions make readings that the service accepts, and leave unknown things out."""

from __future__ import annotations

from datetime import UTC, datetime

from consumers.replay.session_log import Session
from readings.parsing import parse_reading
from stack.sample.sessions import load_chargers, load_sessions


def test_every_session_is_a_valid_reading_of_a_known_charger() -> None:
    chargers, sessions = load_chargers(), load_sessions()
    now = datetime.now(UTC)
    readings = [parse_reading(session.reading(), now=now) for session in sessions[::50]]
    assert len(chargers) == 36
    assert {session.charger_id for session in sessions} == set(chargers)
    assert {reading.connector_status for reading in readings} == {"CHARGING", "OCCUPIED"}
    assert all(reading.temperature is None and reading.error_codes is None for reading in readings)


def test_sessions_of_a_charger_are_counted_in_order_of_time() -> None:
    seen: dict[str, Session] = {}
    for session in load_sessions():
        if before := seen.get(session.charger_id):
            assert before.ended_at <= session.ended_at
            assert before.session_number + 1 == session.session_number
        seen[session.charger_id] = session


def test_power_is_the_mean_of_the_session_in_kw() -> None:
    session = Session("PKC-1", "2019-08-31T17:12Z", minutes=30, kwh=11.0, session_number=7)
    assert session.reading()["power"] == 22.0
    assert session.reading()["connector_status"] == "CHARGING"


def test_a_car_that_only_stands_there_is_not_charging() -> None:
    session = Session("PKC-1", "2019-08-31T17:12Z", minutes=600, kwh=0.2, session_number=7)
    assert session.reading()["connector_status"] == "OCCUPIED"
