"""A reading is flat or in an envelope; one function judges the shape for REST, batches and Kafka."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from errors import InvalidReading
from readings.flat_or_envelope import parse_flat_or_enveloped
from readings.parsing import parse_reading
from readings.refused import said_id

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
FLAT = {"charger_id": "A", "connector_status": "CHARGING", "power": 7.5}
UNNAMED = {name: value for name, value in FLAT.items() if name != "charger_id"}


@pytest.mark.parametrize(
    "document",
    [
        FLAT,
        FLAT | {"metrics": "v2"},
        FLAT | {"metrics": None},
        {"charger_id": "A", "metrics": FLAT},
        {"charger_id": "A", "metrics": UNNAMED},
        {"charger_id": "A", "metrics": UNNAMED | {"charger_id": None}},
        {"charger_id": None, "metrics": FLAT},
        {"metrics": FLAT},
    ],
)
def test_each_shape_is_the_same_reading(document: dict[str, Any]) -> None:
    assert parse_flat_or_enveloped(document, now=NOW) == parse_reading(FLAT, now=NOW)


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (7, [("", "type")]),
        ([FLAT], [("", "type")]),
        ({}, [("/charger_id", "required"), ("/connector_status", "required")]),
        ({"charger_id": "A"}, [("/connector_status", "required")]),
        ({"charger_id": "A", "metrics": []}, [("/metrics", "type")]),
        ({"metrics": UNNAMED}, [("/metrics/charger_id", "required")]),
        ({"charger_id": "B", "metrics": FLAT}, [("/charger_id", "mismatch")]),
        ({"charger_id": 7, "metrics": FLAT}, [("/charger_id", "type")]),
        ({"charger_id": 7, "metrics": UNNAMED}, [("/charger_id", "type")]),
        ({"charger_id": "a b", "metrics": UNNAMED}, [("/charger_id", "range")]),
        (
            {"charger_id": "B", "metrics": FLAT | {"power": -1}},
            [("/metrics/power", "range"), ("/charger_id", "mismatch")],
        ),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(document: object, found: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidReading) as caught:
        parse_flat_or_enveloped(document, now=NOW)
    assert [(each.pointer, each.code) for each in caught.value.errors] == found


def test_an_envelope_has_no_field_but_those_that_it_shares() -> None:
    envelope = {"charger_id": "A", "metrics": UNNAMED, "timestamp": "2026-10-01T00:00:00Z"}
    assert not parse_flat_or_enveloped(envelope, now=NOW).stated_at
    shared = ("charger_id", "timestamp")
    assert parse_flat_or_enveloped(envelope, now=NOW, shared=shared).timestamp.month == 10
    with pytest.raises(InvalidReading, match="/timestamp: 'noon' is not an ISO"):
        parse_flat_or_enveloped(envelope | {"timestamp": "noon"}, now=NOW, shared=shared)


def test_two_ids_that_are_nested_deeply_are_refused() -> None:
    deep = orjson.loads(b"[" * 1020 + b"]" * 1020)
    again = orjson.loads(b"[" * 1020 + b"]" * 1020)
    with pytest.raises(InvalidReading):
        parse_flat_or_enveloped({"charger_id": deep, "metrics": FLAT | {"charger_id": again}}, now=NOW)


def test_a_refused_envelope_says_whose_it_is() -> None:
    assert said_id({"charger_id": "A", "metrics": {}}) == "A"
    assert said_id({"metrics": {"charger_id": "A"}}) == "A"
    assert said_id({"metrics": 7}) is None
