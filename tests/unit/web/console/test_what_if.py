"""The form "what if"."""

from __future__ import annotations

from typing import Any, Final

import pytest

from errors import InvalidReading
from tests.readings import metrics
from web.console.what_if import asked_reading, fields_of, fields_of_reading

NEWEST: Final[dict[str, Any]] = {
    **metrics("EVZ-1", error_codes=["A", "B"]),
    "timestamp": "2026-11-20T08:30:00.000Z",
    "metadata": {"attributes": {"vendor": "ABB"}},
}


def test_an_unchanged_form_asks_about_the_newest_reading() -> None:
    asked = asked_reading("EVZ-1", fields_of_reading(NEWEST), NEWEST)
    assert asked.error_codes == ("A", "B")
    assert (asked.temperature, asked.power, asked.uptime_hours, asked.total_sessions) == (41, 47.5, 412, 5120)
    # Not in the form.
    assert asked.energy_delivered == NEWEST["energy_delivered"]
    assert asked.metadata == NEWEST["metadata"]
    assert asked.timestamp.isoformat() == "2026-11-20T08:30:00+00:00"


def test_an_emptied_field_is_a_missing_value() -> None:
    given = {**fields_of_reading(NEWEST), "temperature": "", "error_codes": ""}
    asked = asked_reading("EVZ-1", given, NEWEST)
    assert (asked.temperature, asked.error_codes) == (None, ())


def test_codes_stay_unknown_if_the_reading_has_none() -> None:
    newest = {name: value for name, value in NEWEST.items() if name != "error_codes"}
    assert asked_reading("EVZ-1", fields_of_reading(newest), newest).error_codes is None
    given = {**fields_of_reading(newest), "error_codes": " X , Y;; Z "}
    assert asked_reading("EVZ-1", given, newest).error_codes == ("X", "Y", "Z")


def test_a_charger_without_a_reading_can_be_asked_about() -> None:
    asked = asked_reading("EVZ-2", fields_of_reading(None), None)
    assert (asked.charger_id, asked.connector_status, asked.temperature) == ("EVZ-2", "AVAILABLE", None)


@pytest.mark.parametrize("text", ["abc", "1,5", "nan", "1e999", "0x10", "9" * 400])
def test_a_text_that_is_no_number_of_the_contract_is_refused_by_name(text: str) -> None:
    given = {**fields_of_reading(NEWEST), "temperature": text}
    with pytest.raises(InvalidReading) as refused:
        asked_reading("EVZ-1", given, NEWEST)
    assert [each.pointer for each in refused.value.errors] == ["/temperature"]


def test_fields_that_are_not_sent_are_empty() -> None:
    assert set(fields_of({}).values()) == {""}
    assert fields_of({"power": " 5 ", "other": "x"})["power"] == "5"
