"""A value that is no number or no time is named, with the step that mends it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from errors import InvalidReading
from readings.parsing import parse_reading
from readings.wrong_values import not_a_moment, not_a_number

OCPP = " This looks like an OCPP message; those are read from Kafka alone."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("18,4", "'18,4' is not a number; use a decimal point."),
        ("1.234,5", "'1.234,5' is not a number; use a decimal point, and no thousands separators."),
        ("5,120", "'5,120' is not a number; use a decimal point, and no thousands separators."),
        ("1,234,567", "'1,234,567' is not a number; use a decimal point, and no thousands separators."),
        ("1\u202f234", "'1\\u202f234' is not a number; use a decimal point, and no thousands separators."),
        ("5'120", '"5\'120" is not a number; use a decimal point, and no thousands separators.'),
        ("N/A", "'N/A' is not a number; leave a missing value out."),
        ("-", "'-' is not a number; leave a missing value out."),
        ("31", "'31' is not a number but a string; leave the quotes out."),
        ("18 kW", "'18 kW' is not a number."),
    ],
)
def test_a_text_that_is_no_number_is_told_with_a_hint(text: str, told: str) -> None:
    assert not_a_number(text) == told


FORMS = "is not an ISO 8601 date and time since 1970, nor seconds since then"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("28.11.2026 08:30", f"'28.11.2026 08:30' {FORMS}, like 2026-11-20T08:30:00Z."),
        (
            "46354.354",
            f"'46354.354' {FORMS}. Is this an Excel date? Format the cells as yyyy-mm-dd hh:mm:ss.",
        ),
        (1795854600000, f"1795854600000 {FORMS}. Is this in milliseconds?"),
        (1795854600000.0, f"1795854600000 {FORMS}. Is this in milliseconds?"),
        ("1795854600", f"'1795854600' {FORMS}. Seconds are a JSON number; leave the quotes out."),
        (-1, f"-1 {FORMS}, like 2026-11-20T08:30:00Z."),
        ("x" * 99, f"'{'x' * 40}'… {FORMS}, like 2026-11-20T08:30:00Z."),
        (True, "Not an ISO 8601 date and time since 1970, nor seconds since then."),
        ([], "Not an ISO 8601 date and time since 1970, nor seconds since then."),
    ],
)
def test_a_value_that_is_no_time_is_told_with_a_hint(value: Any, told: str) -> None:
    assert not_a_moment(value, epoch=True) == told


def test_seconds_are_not_offered_where_they_are_not_read() -> None:
    assert not_a_moment("1795854600", epoch=False) == (
        "'1795854600' is not an ISO 8601 date and time since 1970, like 2026-11-20T08:30:00Z."
    )


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (
            {"charger_id": "A", "connectorStatus": "Charging"},
            "Missing data for required field. Is it 'connectorStatus'?",
        ),
        (
            {"charger_id": "A", "Connector-Status": "Charging"},
            "Missing data for required field. Is it 'Connector-Status'?",
        ),
        ({"charger_id": "A", "status": "Charging"}, "Missing data for required field."),
        (
            {"charger_id": "A", "status": "Charging", "errorCode": "NoError"},
            f"Missing data for required field.{OCPP}",
        ),
        ({"charger_id": "A", "chargePointId": "A", "payload": {}}, f"Missing data for required field.{OCPP}"),
        ([2, "19223201", "StatusNotification", {}], f"Must be a JSON object.{OCPP}"),
        ([{"charger_id": "A"}], "Must be a JSON object."),
        ([2, {}, []], "Must be a JSON object."),
    ],
)
def test_a_body_that_is_no_reading_is_told_with_a_hint(raw: Any, told: str) -> None:
    with pytest.raises(InvalidReading) as refused:
        parse_reading(raw, now=datetime(2026, 11, 20, tzinfo=UTC))
    (problem,) = refused.value.errors
    assert problem.detail == told
    assert problem.code == ("type" if isinstance(raw, list) else "required")
