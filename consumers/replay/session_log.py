"""Charging sessions as a backend records them, and the reading that a charger would have sent of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

# Below this mean power, in kW, the car was plugged in rather than charging: full, or never begun.
HARDLY_CHARGING_KW: Final = 1.0
COLUMNS: Final = ("charger_id", "ended_at", "minutes", "kwh", "session_number")


@dataclass(frozen=True, slots=True)
class Session:
    """One charging session. `ended_at` is ISO 8601 in UTC, `minutes` its length, `kwh` what it delivered;
    `session_number` counts the charger's sessions since its records begin."""

    charger_id: str
    ended_at: str
    minutes: int
    kwh: float
    session_number: int

    @property
    def mean_kw(self) -> float:
        return self.kwh / (self.minutes / 60)

    def reading(self) -> dict[str, Any]:
        """The reading of the session's last minute, in the fields of the contract.

        Such records hold neither temperature nor error codes, uptime or maintenance: those are missing, and
        the models must do without. They hold no power over time either: `power` is the session's mean.
        """
        return {
            "charger_id": self.charger_id,
            "connector_status": "CHARGING" if self.mean_kw >= HARDLY_CHARGING_KW else "OCCUPIED",
            "energy_delivered": self.kwh,
            "power": round(self.mean_kw, 2),
            "total_sessions": self.session_number,
            "timestamp": self.ended_at,
        }
