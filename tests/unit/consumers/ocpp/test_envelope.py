"""What is an event, and what is none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from consumers.ocpp.envelope import InvalidEvent, read_event
from errors import MalformedBody
from tests.unit.consumers.ocpp.events import NOW, START, envelope, read, status


def test_the_envelope_says_whose_event_it_is_and_when_it_occurred() -> None:
    event = read(status(1.5, "Available") | {"connectorId": 2})
    assert (event.charger_id, event.tenant, event.connector) == ("CP-1", "acme", 2)
    assert event.at_us == round((START + timedelta(minutes=1.5)).timestamp() * 1e6)
    assert (event.version, event.action) == (1, "statusnotification")


def test_without_a_charge_point_the_station_is_meant() -> None:
    event = read(status(0, "Available") | {"chargePointId": None})
    assert event.charger_id == "SITE-7"


@pytest.mark.parametrize(
    "spelling",
    ["StatusNotification", "STATUS_NOTIFICATION", "StatusNotification.req", "StatusNotificationRequest"],
)
def test_spellings_of_a_message(spelling: str) -> None:
    assert read(envelope(0, spelling, {})).action == "statusnotification"


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("1.6", 1),
        ("1.6J", 1),
        ("ocpp1.6", 1),
        ("OCPP 1.6", 1),
        ("2.0.1", 2),
        ("ocpp2.0.1", 2),
        ("OCPP_2.1", 2),
    ],
)
def test_spellings_of_a_version(said: str, version: int) -> None:
    assert read(envelope(0, "Heartbeat", {}, ocppVersion=said)).version == version


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"eventId": None}, "/eventId"),
        ({"eventId": "x" * 257}, "/eventId"),
        ({"eventType": ""}, "/eventType"),
        ({"payload": []}, "/payload"),
        ({"occurredAt": "yesterday"}, "/occurredAt"),
        ({"occurredAt": None}, "/occurredAt"),
        ({"occurredAt": (NOW + timedelta(minutes=6)).isoformat()}, "/occurredAt"),
        ({"chargePointId": "CP 1"}, "/chargePointId"),
        ({"chargePointId": None, "stationId": None}, "/stationId"),
        ({"tenantId": "a b"}, "/tenantId"),
        ({"connectorId": -1}, "/connectorId"),
        ({"connectorId": "one"}, "/connectorId"),
        ({"connectorId": "2147483648"}, "/connectorId"),
        ({"connectorId": "9" * 5000}, "/connectorId"),
        ({"ocppVersion": "J"}, "/ocppVersion"),
        ({"ocppVersion": None}, "/ocppVersion"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        read(status(0, "Available") | change)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(("said", "number"), [("2", 2), ("007", 7), ("2147483647", 2**31 - 1), (7, 7)])
def test_a_connector_may_be_a_number_or_its_digits(said: str | int, number: int) -> None:
    assert read(status(0, "Available") | {"connectorId": said}).connector == number


def test_bytes_that_are_no_event() -> None:
    for value in (None, b"", b"{bad", b"\xff"):
        with pytest.raises(MalformedBody):
            read_event(value, now=NOW)
    with pytest.raises(InvalidEvent):
        read_event(orjson.dumps([1]), now=NOW)
