"""No remote reset after ground fault, over-current or over-temperature, whatever a vendor calls it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from models.actions import steps, unsafe_to_reset
from readings.reading import Reading

DANGEROUS = [
    *("GroundFailure", "groundfailure", "GFI", "gfi_trip", "ResidualCurrentDevice", "RCM", "RCMU_TRIP"),
    *("RDC-DD", "PE_FAULT", "Erdschluss", "EarthLeakage", "OverCurrentFailure", "HighCurrent", "OCP"),
    *("ExcessCurrent", "CurrentTooHigh", "OC_TRIP", "Überstrom", "Kurzschluss", "ShortCircuit"),
    *("HighTemperature", "OTP", "TooHot", "Hot", "OverheatConnector", "Fire", "Smoke", "EmergencyStop"),
    *("CX002", "CX003", "CX004", "E-STOP"),
]
HARMLESS = ["WeakSignal", "InternalError", "ReaderFailure", "ResetFailure", "E-1101", "OpenContactor", "Door"]


def first_steps(code: str, status: str) -> list[str]:
    reading = Reading("A", status, datetime(2026, 1, 1, tzinfo=UTC), error_codes=("InternalError", code))
    return steps(reading, "IMMEDIATE", unsafe=unsafe_to_reset(reading))


@pytest.mark.parametrize("code", DANGEROUS)
@pytest.mark.parametrize("status", ["FAULTY", "OFFLINE", "CHARGING"])
def test_a_dangerous_code_is_never_reset_remotely(code: str, status: str) -> None:
    ordered = first_steps(code, status)
    assert not any("reset" in step.lower() or "unlock" in step.lower() for step in ordered)
    assert "out of service" in ordered[0]


@pytest.mark.parametrize("code", HARMLESS)
def test_a_harmless_code_is_tried_remotely_first(code: str) -> None:
    assert "reset" in first_steps(code, "FAULTY")[0].lower()
