"""Recommended actions: urgency and ordered steps.

Remote steps come first. Dangerous faults are never reset remotely.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from models.features.error_codes import FAMILIES, UNSAFE_TO_RESET, family
from readings.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping


Action = Literal["IMMEDIATE", "WITHIN_7_DAYS", "WITHIN_30_DAYS", "NONE"]

# IMMEDIATE: failure within 1 day has a probability of at least 1/4, or within 7 days of at least 1/2.
# WITHIN_7_DAYS: failure within 7 days has at least 1/6, or within 30 days at least 1/2.
# WITHIN_30_DAYS: failure within 30 days has at least 1/4, or a visit saves money, or a dangerous fault is
# indicated. NONE: the ordinary service is enough.
IMMEDIATE_1D: Final = 0.25
IMMEDIATE_7D: Final = 0.5
WEEK_7D: Final = 1 / 6
WEEK_30D: Final = 0.5
MONTH_30D: Final = 0.25
# Internal temperature above which power must not be restored remotely. DC connectors derate or stop above
# about 90 °C (IEC 61851, as cited by eeworldonline). A 20 kW DC module is at half power at 75 °C (yewsun).
TOO_HOT_TO_RESET_C: Final = 75.0

# Words in vendors' codes (English, German, French) for leakage, over-current, heat or greater danger.
_DANGER: Final = re.compile(
    r"""gfi|gfci|rcd|rcm|rdc|residual|leak|earth|erd(schluss|fehler)|fehlerstrom|isolation|insulation|fuite
    |(^|[^a-z])(pe|oc|ocp|oct|scp|otp|oht)([^a-z]|$)
    |(high|over|excess|too|max)\w*[\s_-]*current|current\w*[\s_-]*(high|over|excess|too|limit|max)
    |ueber\w*strom|über\w*strom|surintensit|short|kurz\w*schlu|court[\s_-]*circuit
    |hot|heat|temp|therm|hitze|chaleur|fire|feuer|brand|feu([^a-z]|$)|smoke|rauch|fum[eé]e|burn|arc([^a-z]|$)
    |emergency|e[\s_-]?stop|not[\s_-]?(halt|aus)|flood|water|wasser|tilt""",
    re.IGNORECASE | re.VERBOSE,
)

_PARTS: Final = {
    "ground": "the residual-current device, insulation and cable",
    "current": "the power stage, fuses and cable for short circuit or overload",
    "thermal": "fans, filters, contacts and the connector for overheating",
    "voltage": "the supply, breakers and surge protection",
    "connector": "the lock, plug and cable",
    "power_switch": "contactors, relays and power modules",
    "payment": "the card reader, meter and screen",
    "communication": "the modem, antenna and SIM",
    "internal": "the controller and its firmware",
}


def action(horizons: Mapping[str, float], *, in_failure: bool, pays: bool, unsafe: bool) -> Action:
    """The urgency, from the probabilities by horizon.

    `pays` tells whether a planned visit within 30 days saves money. `unsafe` is `unsafe_to_reset`: its first
    step takes the charger out of service, so somebody must go.
    """
    if in_failure or horizons["1d"] >= IMMEDIATE_1D or horizons["7d"] >= IMMEDIATE_7D:
        return "IMMEDIATE"
    if horizons["7d"] >= WEEK_7D or horizons["30d"] >= WEEK_30D:
        return "WITHIN_7_DAYS"
    if pays or unsafe or horizons["30d"] >= MONTH_30D:
        return "WITHIN_30_DAYS"
    return "NONE"


def code_families(reading: Reading) -> tuple[str, ...]:
    """Families of the reading's codes, most dangerous first (the order of `FAMILIES`)."""
    if not reading.error_codes:
        return ()
    return tuple(FAMILIES[index] for index in sorted({family(code) for code in reading.error_codes}))


@lru_cache(maxsize=4096)
def _sounds_dangerous(code: str) -> bool:
    return _DANGER.search(code) is not None


def unsafe_to_reset(reading: Reading) -> bool:
    """Whether a ground fault, over-current or over-temperature is indicated by code or temperature.

    Wider than the families that models learn from. A vendor's word that only may mean such a fault is enough
    to send a person instead of restoring power.
    """
    return _is_hot(reading) or any(
        FAMILIES[family(code)] in UNSAFE_TO_RESET or _sounds_dangerous(code)
        for code in reading.error_codes or ()
    )


def _is_hot(reading: Reading) -> bool:
    return reading.temperature is not None and reading.temperature >= TOO_HOT_TO_RESET_C


def steps(reading: Reading, urgency: Action, *, unsafe: bool) -> list[str]:
    """Ordered steps for one reading: remote ones, then a visit. `unsafe` is `unsafe_to_reset`."""
    return list(
        _steps(
            code_families(reading),
            urgency,
            status=reading.connector_status,
            hot=_is_hot(reading),
            unsafe=unsafe,
        )
    )


@lru_cache(maxsize=4096)  # few combinations in a fleet's readings are new
def _steps(
    families: tuple[str, ...], urgency: Action, *, status: str, hot: bool, unsafe: bool
) -> tuple[str, ...]:
    ordered: list[str] = []
    if unsafe:
        ordered.append(
            "Take the charger out of service remotely (set it inoperative); do not power it on again"
        )
        ordered.append("Read diagnostics and the event log remotely")
    else:
        if status in ("FAULTY", "OFFLINE", "UNAVAILABLE") or "internal" in families:
            ordered.append("Reset the charger remotely (soft reset first)")
        if "connector" in families:
            ordered.append("Unlock the connector remotely")
        if urgency != "NONE" or families:
            ordered.append("Read diagnostics and the event log remotely")
    if "communication" in families or status == "OFFLINE":
        ordered.append("Check the network connection and signal remotely")
    parts = [_PARTS[name] for name in families if name in _PARTS]
    if hot and _PARTS["thermal"] not in parts:
        parts.insert(0, _PARTS["thermal"])
    look = "; check " + "; ".join(parts) if parts else ""
    if urgency == "IMMEDIATE":
        ordered.append(f"Send a technician today{look}")
    elif urgency == "WITHIN_7_DAYS":
        ordered.append(f"Plan a visit within 7 days{look}")
    elif urgency == "WITHIN_30_DAYS":
        ordered.append(f"Plan a visit within 30 days{look}")
    else:
        ordered.append(f"No visit of its own: include it in the next ordinary service{look}")
    return tuple(ordered)
