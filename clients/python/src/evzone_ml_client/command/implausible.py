"""Values that the service accepts, and that are probably a mistake. They are warned of, never refused.

The limits are beyond usual chargers and sessions (docs/field-facts.md); few megawatt chargers exceed them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from evzone_ml_client.command.csv_changes import NUMBER
from evzone_ml_client.command.csv_file import Record, is_csv, records
from evzone_ml_client.command.outcome import Refused

# Field -> largest usual value, its unit, and the question about a larger one.
USUAL: Final = {
    "power": (500.0, "kW", "Is this W? Then: --unit power=W"),
    "energy_delivered": (500.0, "kWh", "Is this Wh? Then: --unit energy_delivered=Wh"),
    "temperature": (100.0, "°C", "Is this °F? Then: --unit temperature=F"),
    "uptime_hours": (50_000.0, "hours", "Is this in seconds?"),
}
# A second for a slow computer, whatever the size of the file.
ROWS_AT_START: Final = 10_000
OLDEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_SPREADSHEET_ID: Final = re.compile(r"[0-9](\.[0-9]+)?[Ee]\+[0-9]+")


class Doubts:
    """Counts of implausible values by kind, with the first line and value of each."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int, str]] = {}

    def note(self, line: int, row: Mapping[str, Any]) -> None:
        """Count the implausible values of a row. Ignores values that are wrong."""
        for field, (most, unit, question) in USUAL.items():
            number = _number(row.get(field))
            if number is not None and number > most:
                self._count(f"{field} above {most:,.0f} {unit}. {question}", line, row[field])
        for field in ("timestamp", "last_maintenance"):
            moment = _moment(row.get(field))
            if moment is not None and moment < OLDEST:
                self._count(f"{field} before the year 2000. Is the clock right?", line, row[field])
        if isinstance(charger_id := row.get("charger_id"), str) and _SPREADSHEET_ID.fullmatch(charger_id):
            self._count("charger_id in powers of ten. Did a spreadsheet shorten it?", line, charger_id)
        if isinstance(codes := row.get("error_codes"), str) and "," in codes and not codes.startswith("["):
            self._count("error_codes with a comma. Separate codes by semicolons", line, codes)

    def lines(self) -> list[str]:
        """A warning for each kind."""
        return [
            f"Warning: {count:,} {'row has' if count == 1 else 'rows have'} {kind.partition('. ')[0]}, "
            f"first in line {line}: {value!r}. {kind.partition('. ')[2].rstrip('.')}"
            for kind, (count, line, value) in self._found.items()
        ]

    def _count(self, kind: str, line: int, value: Any) -> None:
        count, first, example = self._found.get(kind, (0, line, str(value)[:40]))
        self._found[kind] = (count + 1, first, example)


def warnings_of_start(file: Path, input_format: str) -> list[str]:
    """The warnings of the first `ROWS_AT_START` rows of a CSV file. Blocks for the disk."""
    doubts = Doubts()
    if is_csv(input_format):
        with closing(records(file, input_format)) as found, suppress(Refused, OSError):
            header = next(found, Record(1, [])).cells
            for line, cells in islice(found, ROWS_AT_START):
                doubts.note(line, dict(zip(header, cells, strict=False)))
    return doubts.lines()


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value := value.strip()) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip().upper())
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return None if value is None else datetime.fromtimestamp(value, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
