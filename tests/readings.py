"""Readings for tests."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any, Final

from readings.reading import Reading

MORNING: Final = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)

_numbers = itertools.count(1)


def new_charger_id() -> str:
    """One that no other test of this run uses."""
    return f"EVZ-{next(_numbers):05d}"


def metrics(charger_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """An ordinary reading as a caller sends it."""
    return {
        "charger_id": new_charger_id() if charger_id is None else charger_id,
        "connector_status": "CHARGING",
        "energy_delivered": 18.4,
        "power": 47.5,
        "temperature": 41.0,
        "error_codes": [],
        "uptime_hours": 412.0,
        "total_sessions": 5120,
        **fields,
    }


def reading(charger_id: str | None = None, at: datetime = MORNING, **fields: Any) -> Reading:
    """The least that a reading has, as the service holds it, and `fields`."""
    return Reading(charger_id or new_charger_id(), "CHARGING", at, **fields)


def request(charger_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """The body of a single prediction."""
    sent = metrics(charger_id, **fields)
    return {"charger_id": sent["charger_id"], "metrics": sent}
