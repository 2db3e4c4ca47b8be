"""Chargers and sessions of the sample."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consumers.replay.session_log import Session

CHARGERS_FILE: Final = Path(__file__).with_name("chargers.csv")
SESSIONS_FILE: Final = Path(__file__).with_name("sessions.csv.gz")


@dataclass(frozen=True, slots=True)
class Charger:
    """A public charger and its site."""

    charger_id: str
    site: str
    model: str


def load_chargers() -> dict[str, Charger]:
    """Return every charger of the sample by its id."""
    with CHARGERS_FILE.open(newline="", encoding="utf-8") as file:
        return {row["charger_id"]: Charger(**row) for row in csv.DictReader(file)}


def load_sessions() -> list[Session]:
    """Return every session of the sample, by charger and then by time."""
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
