"""The attributes of a charger: one schema for a PUT, a CSV file and a reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from errors import InvalidReading
from readings.attributes import FIELDS, AttributesSchema, known, parse_cells, read_attributes
from readings.parsing import parse_reading
from readings.reading import Reading
from readings.schema import read_part

NOW: Final = datetime.now(UTC)
GOOD: Final[dict[str, Any]] = {
    "site_id": "SITE-12",
    "vendor": "ABB",
    "model": "Terra 184",
    "firmware": "1.8.32",
    "connector_types": ["CCS2", "CHAdeMO"],
    "rated_power_kw": 180.0,
    "installed_at": "2024-05-17",
    "name": "Hafen, Säule 4",
}
# Each is refused by PUT and CSV, and left out by a reading.
WRONG: Final = [
    ("site_id", ""),
    ("site_id", "  "),
    ("vendor", "x" * 129),
    ("vendor", 7),
    ("model", "two\nlines"),
    ("model", "nul\0"),
    ("firmware", "\ud800"),
    ("name", "\u202egnp.exe"),
    ("name", "\u200b\ufeff \u2060"),
    ("connector_types", "CCS2"),
    ("connector_types", ["CCS2"] * 17),
    ("connector_types", ["CCS2", 7]),
    ("connector_types", ["CCS2", None]),
    ("connector_types", ["CCS2", ""]),
    ("rated_power_kw", 0),
    ("rated_power_kw", -1.5),
    ("rated_power_kw", 10_001),
    ("rated_power_kw", "150"),
    ("rated_power_kw", True),
    ("rated_power_kw", float("nan")),
    ("rated_power_kw", 10**400),
    ("installed_at", "17.05.2024"),
    ("installed_at", 1_700_000_000),
    ("installed_at", (NOW + timedelta(days=2)).isoformat()),
]
# The processes of one test run must give each test the same name, and some values have the present time.
IDS: Final = [f"{name}-{number}" for number, (name, _) in enumerate(WRONG)]


def reading(attributes: Any, **metadata: Any) -> Reading:
    raw = {
        "charger_id": "A",
        "connector_status": "CHARGING",
        "timestamp": "2026-11-20T08:30:00Z",
        "metadata": {"attributes": attributes, **metadata},
    }
    return parse_reading(raw, now=NOW)


def test_all_three_ways_give_the_same() -> None:
    cells = {name: str(value) for name, value in GOOD.items()} | {"connector_types": " CCS2 ;CHAdeMO; "}
    assert known(AttributesSchema().load(GOOD)) == GOOD
    assert read_attributes(GOOD) == GOOD
    assert parse_cells(cells) == GOOD


@pytest.mark.parametrize(("name", "value"), WRONG, ids=IDS)
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        AttributesSchema().load(GOOD | {name: value})
    assert list(refused.value.messages_dict) == [name]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=IDS)
def test_a_reading_goes_on_without_its_wrong_attribute(name: str, value: Any) -> None:
    rest = {other: each for other, each in GOOD.items() if other != name}
    assert reading(GOOD | {name: value}).metadata == {"attributes": rest}


@pytest.mark.parametrize("given", [None, [], "ABB", {}, {"vendor": None}, {"unknown": 1}, {"vendor": 7}])
def test_a_reading_without_a_right_attribute_is_one_without_attributes(given: Any) -> None:
    assert reading(given).fingerprint() == reading(None).fingerprint()
    assert reading(given).metadata == {}


def test_attributes_are_part_of_the_fingerprint_in_any_order() -> None:
    plain, of_one = reading({}), reading(GOOD)
    assert of_one.fingerprint() != plain.fingerprint()
    assert of_one.fingerprint() != reading(GOOD | {"firmware": "1.8.33"}).fingerprint()
    assert reading(dict(reversed(GOOD.items()))).fingerprint() == of_one.fingerprint()
    assert reading(GOOD, costs={"visit": 90}).metadata == {"costs": {"visit": 90}, "attributes": GOOD}
    assert Reading.from_wire(of_one.to_wire()) == of_one


def test_costs_that_are_wrong_are_still_refused() -> None:
    with pytest.raises(InvalidReading):
        reading(GOOD, costs={"visit": float("nan")})


@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        ("2024-05-17", "2024-05-17"),
        ("20240517", "2024-05-17"),
        ("2024-05-17T12:30:00+02:00", "2024-05-17T10:30:00.000Z"),
        (" 2024-05-17 12:30 ", "2024-05-17T12:30:00.000Z"),
        (NOW.date().isoformat(), NOW.date().isoformat()),
    ],
)
def test_a_date_stays_a_date_and_a_time_is_in_utc(given: str, loaded: str) -> None:
    assert read_attributes({"installed_at": given}) == {"installed_at": loaded}
    assert read_attributes({"installed_at": loaded}) == {"installed_at": loaded}


def test_an_empty_cell_removes_and_a_missing_column_says_nothing() -> None:
    assert parse_cells({"vendor": " ", "rated_power_kw": "", "connector_types": ";"}) == {
        "vendor": None,
        "rated_power_kw": None,
        "connector_types": None,
    }


def test_a_cell_is_a_number_in_any_plain_notation() -> None:
    for text in ("+150", "1.5e2", "0150."):
        assert parse_cells({"rated_power_kw": text}) == {"rated_power_kw": 150.0}
    for text in ("150 kW", "nan", "1_50", "1e400", "18,4"):
        with pytest.raises(ValidationError):
            parse_cells({"rated_power_kw": text})


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=130),
    lambda inner: st.lists(inner, max_size=18) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), anything, max_size=9))
def test_a_reading_takes_each_attribute_that_the_schema_takes(given: dict[str, Any]) -> None:
    kept: dict[str, Any] = {}
    for name, value in given.items():
        try:
            kept |= known(AttributesSchema().load({name: value}))
        except ValidationError:
            continue
    assert read_attributes(given) == kept
    assert read_part({"attributes": kept}).get("attributes", {}) == kept  # as the worker reads a row again
