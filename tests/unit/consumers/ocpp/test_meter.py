"""Meter values in the contract's units, from both versions of OCPP."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.ocpp.envelope import InvalidEvent
from consumers.ocpp.meter import Meter, read_meter
from tests.unit.consumers.ocpp.events import at, sampled

POWER, TEMPERATURE = "Power.Active.Import", "Temperature"
INTERVAL = "Energy.Active.Import.Interval"


def meter(*samples: dict[str, Any]) -> Meter:
    return read_meter([{"timestamp": at(0), "sampledValue": list(samples)}], "/m")


def measure(unit: str | None, multiplier: int = 0) -> dict[str, Any]:
    return {"unitOfMeasure": ({} if unit is None else {"unit": unit}) | {"multiplier": multiplier}}


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (sampled("1500"), Meter(register_kwh=1.5)),
        (sampled("1.5", unit="kWh"), Meter(register_kwh=1.5)),
        (sampled(15, **measure("Wh", 2)), Meter(register_kwh=1.5)),
        (sampled(1.5, **measure("kWh")), Meter(register_kwh=1.5)),
        (sampled(1500, **measure(None)), Meter(register_kwh=1.5)),
        (sampled("250", INTERVAL), Meter(interval_kwh=0.25)),
        (sampled("7400", POWER), Meter(power_kw=7.4)),
        (sampled("7.4", POWER, unit="kW"), Meter(power_kw=7.4)),
        (sampled(740, POWER, **measure("W", 1)), Meter(power_kw=7.4)),
        (sampled("41.5", TEMPERATURE), Meter(temperature_c=41.5)),
        (sampled("41.5", TEMPERATURE, unit="Celcius"), Meter(temperature_c=41.5)),
        (sampled("314.65", TEMPERATURE, unit="K"), Meter(temperature_c=41.5)),
        (sampled("106.7", TEMPERATURE, unit="Fahrenheit"), Meter(temperature_c=41.5)),
        (sampled("41.5", TEMPERATURE, location="Body"), Meter(temperature_c=41.5)),
    ],
)
def test_units(sample: dict[str, Any], expected: Meter) -> None:
    found = meter(sample)
    for name in ("register_kwh", "interval_kwh", "power_kw", "temperature_c"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name


@pytest.mark.parametrize(
    "sample",
    [
        sampled("MIIB=", format="SignedData"),
        sampled("230", "Voltage", unit="V"),
        sampled("80", "SoC", unit="Percent"),
        sampled("100", "Energy.Active.Export.Register"),
        sampled("1000", POWER, phase="N"),
        sampled("1000", POWER, phase="L1-L2"),
        sampled("1000", POWER, location="Inlet"),
        sampled("30", TEMPERATURE, location="EV"),
        sampled("-127", TEMPERATURE),
        sampled("32767", TEMPERATURE),
        sampled("-5", POWER),
    ],
)
def test_what_a_reading_has_no_place_for_is_passed_over(sample: dict[str, Any]) -> None:
    assert meter(sample, sampled("1000")) == Meter(register_kwh=1.0)


def test_power_of_the_phases_adds_up_unless_the_whole_was_measured() -> None:
    phases = [sampled("2000", POWER, phase=phase) for phase in ("L1", "L2-N", "L3")]
    assert meter(*phases).power_kw == 6.0
    assert meter(*phases, sampled("6100", POWER)).power_kw == pytest.approx(6.1)


def test_the_newest_value_counts_and_intervals_add_up() -> None:
    values = [
        {"timestamp": at(2), "sampledValue": [sampled("2000"), sampled("20", INTERVAL)]},
        {"timestamp": at(1), "sampledValue": [sampled("1000"), sampled("10", INTERVAL)]},
    ]
    found = read_meter(values, "/m")
    assert (found.register_kwh, found.interval_kwh) == (2.0, 0.03)


def test_a_transactions_first_and_last_register_are_told_apart() -> None:
    found = meter(
        sampled("1000", context="Transaction.Begin"),
        sampled("3000", context="Transaction.End"),
        sampled("2000", context="Sample.Periodic"),
    )
    assert (found.begin_kwh, found.end_kwh) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({}, "/m"),
        (["x"], "/m/0"),
        ([{"timestamp": "noon", "sampledValue": []}], "/m/0/timestamp"),
        ([{"timestamp": at(0)}], "/m/0/sampledValue"),
        ([{"timestamp": at(0), "sampledValue": [7]}], "/m/0/sampledValue/0"),
        ([{"timestamp": at(0), "sampledValue": [sampled("many")]}], "/m/0/sampledValue/0/value"),
        ([{"timestamp": at(0), "sampledValue": [sampled("nan")]}], "/m/0/sampledValue/0/value"),
        ([{"timestamp": at(0), "sampledValue": [sampled(None)]}], "/m/0/sampledValue/0/value"),
        ([{"timestamp": at(0), "sampledValue": [sampled("1", unit="J")]}], "/m/0/sampledValue/0"),
        (
            [{"timestamp": at(0), "sampledValue": [sampled(1, **measure("Wh", 99))]}],
            "/m/0/sampledValue/0/unitOfMeasure/multiplier",
        ),
    ],
)
def test_what_is_wrong_is_named(values: object, pointer: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        read_meter(values, "/m")
    assert caught.value.pointer == pointer
