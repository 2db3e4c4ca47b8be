"""Charging sessions as recorded by a backend, and the reading that corresponds to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

# Below this mean power in kW the vehicle was plugged in but not charging: full, or never started.
HARDLY_CHARGING_KW: Final = 1.0
COLUMNS: Final = ("charger_id", "ended_at", "minutes", "kwh", "session_number")


@dataclass(frozen=True, slots=True)
class Session:
    """One charging session: its end (`ended_at`, ISO 8601 in UTC), duration and delivered energy.

    `session_number` counts the charger's sessions from its first record.
    """

    charger_id: str
    ended_at: str
    minutes: int
    kwh: float
    session_number: int

    @property
    def mean_kw(self) -> float:
        """The mean power, kW. Raises `ZeroDivisionError` for 0 minutes, which `recording.py` refuses."""
        return self.kwh / (self.minutes / 60)

    def reading(self) -> dict[str, Any]:
        """The reading of the session's last minute, in the fields of the contract.

        Session records contain no temperature, error codes, uptime or maintenance: these fields are missing.
        They contain no power over time either, so `power` is the session's mean.
        """
        return {
            "charger_id": self.charger_id,
            "connector_status": "CHARGING" if self.mean_kw >= HARDLY_CHARGING_KW else "OCCUPIED",
            "energy_delivered": self.kwh,
            "power": round(self.mean_kw, 2),
            "total_sessions": self.session_number,
            "timestamp": self.ended_at,
        }
