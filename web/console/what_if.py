"""The form "what if": other values of a charger's newest reading. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from readings.parsing import parse_reading
from readings.reading import Reading
from readings.schema_fields import NUMBER
from tasks.storage import redis_clock

# Names of the fields, their labels and units.
NUMBERS: Final = (
    ("temperature", "Temperature", "°C"),
    ("power", "Power", "kW"),
    ("uptime_hours", "Hours since the last start", "h"),
    ("total_sessions", "Sessions since installation", ""),
)
FIELDS: Final = ("connector_status", "error_codes", *(name for name, _, _ in NUMBERS))
_IS_NUMBER: Final = re.compile(NUMBER).fullmatch
_BETWEEN_CODES: Final = re.compile(r"[;,\n]")


def fields_of(form: Mapping[str, str]) -> dict[str, str]:
    """The texts of the form's fields."""
    return {name: form.get(name, "").strip() for name in FIELDS}


def fields_of_reading(newest: Mapping[str, Any] | None) -> dict[str, str]:
    """The texts with which the form begins: the values of a reading of the contract, if there is one."""
    reading = newest or {"connector_status": "AVAILABLE"}
    numbers = {name: reading.get(name) for name, _, _ in NUMBERS}
    return {
        "connector_status": reading["connector_status"],
        "error_codes": "; ".join(reading.get("error_codes") or ()),
        **{name: "" if value is None else f"{value:.15g}" for name, value in numbers.items()},
    }


def asked_reading(charger_id: str, given: Mapping[str, str], newest: Mapping[str, Any] | None) -> Reading:
    """The newest reading with the values of the form. Its time stays, so that nothing else differs.

    Raises `InvalidReading` that names each wrong field.
    """
    codes = [code for part in _BETWEEN_CODES.split(given["error_codes"]) if (code := part.strip())]
    had_codes = newest is not None and newest.get("error_codes") is not None
    raw = {
        **(newest or {}),
        "charger_id": charger_id,
        "connector_status": given["connector_status"],
        "error_codes": codes if codes or had_codes else None,
        **{name: _number(given[name]) for name, _, _ in NUMBERS},
    }
    return parse_reading(raw, now=redis_clock.moment())


def _number(text: str) -> float | str | None:
    """A number, None for an empty field, or the text as it is, which the schema refuses by name."""
    return float(text) if _IS_NUMBER(text) else text or None
