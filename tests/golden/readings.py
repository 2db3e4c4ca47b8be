"""The readings of the scenarios: few, small, and from a fixed time in the past."""

from __future__ import annotations

from typing import Any, Final

Document = dict[str, Any]

TAKEN_AT: Final = "2024-03-01T08:30:00Z"

ORDINARY: Final[Document] = {
    "charger_id": "GOLD-1",
    "connector_status": "Charging",
    "energy_delivered": 18.4,
    "power": 31.0,
    "temperature": 71,
    "error_codes": ["HighTemperature"],
    "uptime_hours": 412,
    "total_sessions": 5120,
    "last_maintenance": "2023-11-10",
    "timestamp": TAKEN_AT,
}
HEALTHY: Final[Document] = {
    "charger_id": "GOLD-2",
    "connector_status": "AVAILABLE",
    "energy_delivered": 7.25,
    "power": 0.0,
    "temperature": 24.5,
    "error_codes": [],
    "uptime_hours": 2000.0,
    "total_sessions": 300,
    "last_maintenance": "2024-02-20T09:00:00Z",
    "timestamp": "2024-03-01T08:30:00+01:00",
}
FAULTY: Final[Document] = {
    "charger_id": "GOLD-3",
    "connector_status": "Faulted",
    "error_codes": ["GroundFailure", "ACME-17"],
    "timestamp": 1_709_280_000,
}
LEAST: Final[Document] = {"charger_id": "GOLD-4", "connector_status": "SuspendedEV", "timestamp": TAKEN_AT}
# The keys of all readings, so that every column of a task message is there.
WITH_COSTS: Final[Document] = {
    **ORDINARY,
    "charger_id": "GOLD-5",
    "metadata": {
        "costs": {"visit": 900, "downtime_per_hour": 20.5, "maintenance_interval_days": 90},
        "site": "SITE-7",
        "nested": {"a": [1, None, "é"]},
    },
    "unknown_field": "ignored",
}


def without_time(reading: Document, charger_id: str) -> Document:
    """A reading of another charger that names no time: it counts as taken when it arrives.

    Nor does it name its last maintenance, from which the days would be another number each day.
    """
    kept = {name: value for name, value in reading.items() if name not in ("timestamp", "last_maintenance")}
    return kept | {"charger_id": charger_id}


def request_of(reading: Document) -> Document:
    """The body of a single prediction."""
    return {"charger_id": reading["charger_id"], "metrics": reading}
