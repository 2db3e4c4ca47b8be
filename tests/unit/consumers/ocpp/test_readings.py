"""Which reading a charge point's events give, in both versions of OCPP."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.ocpp.envelope import InvalidEvent
from readings.parsing import parse_reading
from tests.unit.consumers.ocpp.events import (
    BEGIN,
    NOW,
    SESSION_1,
    SESSION_2,
    Document,
    at,
    envelope,
    hear,
    meter_values,
    notify,
    power,
    reading,
    register,
    sampled,
    start,
    status,
    status_2,
    stop,
    transaction,
    version_2,
)


def steps(events: tuple[Document, ...], *names: str) -> list[tuple[Any, ...]]:
    found = []
    for given in hear(*events)[1]:
        assert isinstance(given, dict), given
        assert parse_reading(given, now=NOW).charger_id == "CP-1"
        found.append(tuple(given.get(name) for name in names))
    return found


def test_a_session_of_ocpp_1_6() -> None:
    first, *rest = hear(*SESSION_1)[1]
    assert first == "no_status"
    found = steps(SESSION_1[1:], "connector_status", "energy_delivered", "power", "total_sessions")
    assert len(rest) == len(found)
    assert found == [
        ("AVAILABLE", None, None, None),
        ("OCCUPIED", None, None, None),
        ("OCCUPIED", 0.0, None, 1),
        ("CHARGING", 0.0, None, 1),
        ("CHARGING", 1.5, 7.4, 1),
        ("CHARGING", 7.0, None, 1),
        ("OCCUPIED", 7.0, None, 1),
        ("AVAILABLE", 7.0, None, 1),
    ]


def test_a_session_of_ocpp_2_0_1() -> None:
    assert steps(SESSION_2, "connector_status", "energy_delivered", "power", "total_sessions") == [
        ("AVAILABLE", None, None, None),
        ("OCCUPIED", None, None, None),
        ("OCCUPIED", 0.0, None, 1),
        ("CHARGING", 0.0, None, 1),
        ("CHARGING", 1.0, 11.0, 1),
        ("FULLY_CHARGED", 1.0, None, 1),
        ("OCCUPIED", 8.5, None, 1),
        ("AVAILABLE", 8.5, None, 1),
    ]


def test_a_reading_says_whose_it_is_when_and_by_which_event() -> None:
    assert reading(*SESSION_1[:6]) == {
        "charger_id": "CP-1",
        "tenant_id": "acme",
        "connector_status": "CHARGING",
        "timestamp": "2026-11-20T08:10:00.000Z",
        "energy_delivered": 1.5,
        "power": 7.4,
        "temperature": 38.0,
        "error_codes": [],
        "uptime_hours": 0.167,
        "total_sessions": 1,
        "metadata": {"ocpp_event_id": "MeterValues-10-1", "ocpp_event_type": "MeterValues"},
    }


@pytest.mark.parametrize(
    ("payload", "codes"),
    [
        ({"errorCode": "NoError"}, []),
        ({"errorCode": "GroundFailure"}, ["GroundFailure"]),
        (
            {"errorCode": "OtherError", "vendorErrorCode": "ACME-0x17 Lüfter"},
            ["OtherError", "ACME-0x17 Lüfter"],
        ),
        ({"errorCode": "noerror", "vendorErrorCode": ""}, []),
        ({"errorCode": "NoError", "vendorErrorCode": "x" * 500}, ["x" * 128]),
    ],
)
def test_error_codes_of_1_6_whatever_the_vendor_calls_them(payload: Document, codes: list[str]) -> None:
    assert reading(status(0, "Faulted", **payload))["error_codes"] == codes


def test_an_error_is_over_when_it_is_not_named_any_more() -> None:
    faulted = status(0, "Faulted", errorCode="OverVoltage")
    assert reading(faulted, status(5, "Available"))["error_codes"] == []


def test_problems_of_2_0_1_come_and_go() -> None:
    available = status_2(0, "Available")
    assert "error_codes" not in reading(available)
    problem = notify(1)
    assert reading(available, problem)["error_codes"] == ["Connector.Problem"]
    assert reading(available, problem, notify(2, actualValue="false"))["error_codes"] == []
    alert = notify(
        3, trigger="Alerting", techCode="E-77", component={"name": "Fan"}, variable={"name": "RPM"}
    )
    assert reading(available, problem, alert)["error_codes"] == ["E-77", "Connector.Problem"]
    over = notify(4, trigger="Alerting", cleared=True, component={"name": "Fan"}, variable={"name": "RPM"})
    assert reading(available, problem, alert, over)["error_codes"] == ["Connector.Problem"]


def test_availability_may_come_as_a_variable() -> None:
    faulted = notify(1, variable={"name": "AvailabilityState"}, actualValue="Faulted")
    assert reading(status_2(0, "Available"), faulted)["connector_status"] == "FAULTY"


@pytest.mark.parametrize(
    ("reports", "merged"),
    [
        (("Available", "Charging"), "CHARGING"),
        (("Faulted", "Charging"), "FAULTY"),
        (("Unavailable", "Available"), "AVAILABLE"),
        (("Unavailable", "Unavailable"), "UNAVAILABLE"),
        (("Finishing", "SuspendedEV"), "FULLY_CHARGED"),
    ],
)
def test_the_connectors_of_a_charge_point_make_one_status(reports: tuple[str, str], merged: str) -> None:
    events = [status(n, word, connector=n + 1) for n, word in enumerate(reports)]
    assert reading(*events)["connector_status"] == merged
    assert reading(*events, status(5, "Available", connector=0))["connector_status"] == merged
    whole = reading(*events, status(5, "Unavailable", connector=0))["connector_status"]
    assert whole == ("FAULTY" if "Faulted" in reports else "UNAVAILABLE")


def test_power_of_the_connectors_adds_up_and_energy_is_that_of_the_newest_session() -> None:
    events = (
        status(0, "Charging", connector=1), start(1, 1000, connector=1), power(5, 7000, connector=1),
        status(6, "Charging", connector=2), start(7, 90_000, connector=2), power(8, 4000, connector=2),
        register(9, 91_000, connector=2), register(10, 3000, connector=1), power(10, 20_000, connector=0),
    )  # fmt: skip
    found = reading(*events)
    assert (found["power"], found["energy_delivered"], found["total_sessions"]) == (11.0, 1.0, 2)


def test_what_was_measured_long_ago_is_not_how_it_is_now() -> None:
    old = meter_values(1, sampled("7000", "Power.Active.Import"), sampled("40", "Temperature"))
    found = reading(status(0, "Charging"), old, register(90, 1000))
    assert "power" not in found
    assert "temperature" not in found


def test_intervals_add_up_where_there_is_no_register() -> None:
    interval = "Energy.Active.Import.Interval"
    started = (status_2(0, "Occupied"), transaction(1, "Started", state="Charging"))
    found = reading(
        *started,
        transaction(10, "Updated", sampled(250, interval)),
        transaction(20, "Updated", sampled(500, interval)),
    )
    assert found["energy_delivered"] == 0.75
    assert "energy_delivered" not in reading(*started)


def test_a_meter_that_was_exchanged_says_nothing_of_the_session() -> None:
    assert "energy_delivered" not in reading(status(0, "Charging"), start(1, 90_000), register(2, 100))


def test_a_stop_finds_its_connector_by_its_transaction() -> None:
    started = (
        status(0, "Charging", 2),
        start(1, 0, 2),
        meter_values(2, sampled("5"), connector=2, transactionId=41),
    )
    assert reading(*started, stop(9, 4000, connector=None))["energy_delivered"] == 4.0
    assert hear(*started, stop(9, 4000, connector=None, transactionId=7))[1][-1] == "unknown_connector"


def test_later_events_of_a_transaction_need_not_name_the_evse() -> None:
    started = (status_2(0, "Occupied"), transaction(1, "Started", sampled(0, **BEGIN), state="Charging"))
    assert reading(*started, transaction(9, "Updated", sampled(4000), evse=None))["energy_delivered"] == 4.0


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (envelope(9, "Heartbeat", {}), "other_type"),
        (envelope(9, "FirmwareStatusNotification", {"status": "Installed"}), "other_type"),
        (envelope(9, "TransactionEvent", {}), "other_type"),  # there is none in 1.6
        (meter_values(9, sampled("230", "Voltage")), "nothing_told"),
        (meter_values(9, sampled("230", "Voltage"), transactionId=3), "nothing_told"),
        (notify(9, trigger="Periodic", variable={"name": "Temperature"}, actualValue="30"), "nothing_told"),
        (status(0, "Available"), "repeated"),
        (status(-5, "Faulted"), "late"),
    ],
)
def test_events_that_give_no_reading_are_told_apart(event: Document, reason: str) -> None:
    known, _ = hear(status(0, "Available"))
    after, given = hear(event, known=known)
    assert given == [reason]
    assert after.parts["1"].value("status") == "AVAILABLE"


@pytest.mark.parametrize(
    ("event", "pointer"),
    [
        (status(0, "Burning"), "/payload/status"),
        (status(0, "Available", errorCode=7), "/payload/errorCode"),
        (status_2(0, "Burning"), "/payload/connectorStatus"),
        (start(0, -1), "/payload/meterStart"),
        (stop(0, "many"), "/payload/meterStop"),  # type: ignore[arg-type]  # the wrong type is meant
        (transaction(0, "Begun"), "/payload"),
        (transaction(0, "Updated", state="Flying"), "/payload/transactionInfo/chargingState"),
        (version_2(0, "TransactionEvent", {"eventType": "Ended"}), "/payload"),
        (version_2(0, "NotifyEvent", {}), "/payload/eventData"),
        (notify(0, component=None), "/payload/eventData/0"),
        (notify(0, component={}), "/payload/eventData/0/component/name"),
        (notify(0, variable={"name": "AvailabilityState"}), "/payload/eventData/0/actualValue"),
        (envelope(0, "MeterValues", {"connectorId": "x"}), "/payload/connectorId"),
    ],
)
def test_what_is_wrong_in_a_message_is_named(event: Document, pointer: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        hear(event)
    assert caught.value.pointer == pointer


def test_times_are_those_of_the_envelope() -> None:
    event = status(5, "Available", timestamp="1970-01-01T00:00:00Z")
    assert reading(event)["timestamp"] == at(5).replace("+00:00", ".000Z")
