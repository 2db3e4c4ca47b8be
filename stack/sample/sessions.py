"""The sample's sessions, and the reading that a charger would have sent at the end of each."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CHARGERS_FILE: Final = Path(__file__).with_name("chargers.csv")
SESSIONS_FILE: Final = Path(__file__).with_name("sessions.csv.gz")

# Below this mean power, in kW, the car was plugged in rather than charging: full, or never begun.
HARDLY_CHARGING_KW: Final = 1.0


@dataclass(frozen=True, slots=True)
class Charger:
    """One public charger, and where it stands."""

    charger_id: str
    site: str
    model: str


@dataclass(frozen=True, slots=True)
class Session:
    """One charging session. `ended_at` is ISO 8601 in UTC, `minutes` its length, `kwh` what it delivered;
    `session_number` counts the charger's sessions since the records begin in September 2016."""

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

        The records hold neither temperature nor error codes, uptime or maintenance: those are missing, and
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


def load_chargers() -> dict[str, Charger]:
    """Every charger of the sample by its id."""
    with CHARGERS_FILE.open(newline="", encoding="utf-8") as file:
        return {row["charger_id"]: Charger(**row) for row in csv.DictReader(file)}


def load_sessions() -> list[Session]:
    """Every session of the sample, charger by charger, each in the order of time."""
    with gzip.open(SESSIONS_FILE, "rt", newline="", encoding="utf-8") as file:
        return [
            Session(
                charger_id=row["charger_id"],
                ended_at=row["ended_at"],
                minutes=int(row["minutes"]),
                kwh=float(row["kwh"]),
                session_number=int(row["session_number"]),
            )
            for row in csv.DictReader(file)
        ]
