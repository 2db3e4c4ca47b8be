"""A value that is no number or no time is named, with the step that mends it."""

from __future__ import annotations

from typing import Any

import pytest

from readings.wrong_values import not_a_moment, not_a_number


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
