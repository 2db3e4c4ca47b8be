"""Rename columns of a CSV file, convert units and semicolons, one record at a time."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path
from typing import Final

from evzone_ml_client.command.csv_file import is_csv, records
from evzone_ml_client.command.field_names import READING_FIELDS, suggestion
from evzone_ml_client.command.outcome import Refused

# Numbers and blanks as the service reads them in CSV cells.
NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
BLANKS: Final = " \t\u00a0"
# Numbers with a decimal comma, and points between thousands.
_COMMA_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]+)?")
NUMBERS: Final = ("energy_delivered", "power", "temperature", "uptime_hours", "total_sessions")
# As precise as a double, so that 31000 W are 31 kW and nothing like 31.000000000000004.
_CONTEXT: Final = Context(prec=15)

Convert = Callable[[Decimal], Decimal]


def _from_thousandths(number: Decimal) -> Decimal:
    return _CONTEXT.divide(number, Decimal(1000))


def _from_fahrenheit(number: Decimal) -> Decimal:
    return _CONTEXT.divide((number - 32) * 5, Decimal(9))


# Field -> unit of the file -> conversion to the contract's unit (kW, kWh, °C).
UNITS: Final[dict[str, dict[str, Convert]]] = {
    "power": {"W": _from_thousandths},
    "energy_delivered": {"Wh": _from_thousandths},
    "temperature": {"F": _from_fahrenheit},
}


@dataclass(frozen=True, slots=True)
class Changes:
    """New names of columns by old ones, and conversions by new names.

    `semicolons`: the file has semicolons between its cells, and decimal commas.
    """

    names: Mapping[str, str]
    units: Mapping[str, Convert]
    semicolons: bool = False

    def __bool__(self) -> bool:
        return bool(self.names or self.units or self.semicolons)


def parse_changes(maps: Sequence[str], units: Sequence[str], *, semicolons: bool = False) -> Changes:
    """Parse the values of the options. Raises `Refused` for an unknown field or unit."""
    names: dict[str, str] = {}
    for old, new in (_pair("--map", "OLD=NEW", text) for text in maps):
        if new not in READING_FIELDS:
            raise Refused(f"--map {old}={new}: readings have no field {suggestion(new, READING_FIELDS)}.")
        names[old] = new
    conversions: dict[str, Convert] = {}
    for field, unit in (_pair("--unit", "FIELD=UNIT", text) for text in units):
        if unit not in UNITS.get(field, {}):
            known = ", ".join(f"{name}={each}" for name, found in UNITS.items() for each in found)
            raise Refused(f"--unit {field}={unit}: is none of {known}.")
        conversions[field] = UNITS[field][unit]
    return Changes(names, conversions, semicolons)


def write_changed(file: Path, input_format: str, changes: Changes, out: Path) -> None:
    """Write the records of a CSV file to `out` with `changes`, uncompressed. Blocks for the disk.

    Memory is that of one record. A cell that is no number stays as it is, so that the service names it.
    Raises `Refused` for a file that is not CSV, and for columns that it does not have, or would have twice.
    """
    if not is_csv(input_format):
        raise Refused("--map, --unit and --semicolons change CSV files only.")
    with out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        conversions: list[tuple[int, Convert]] | None = None
        numbers: list[int] = []
        for record in records(file, input_format, ";" if changes.semicolons else ","):
            cells = record.cells
            if conversions is None:
                cells = _changed_header(cells, changes)
                if changes.semicolons:
                    numbers = [place for place, name in enumerate(cells) if name in NUMBERS]
                conversions = [(cells.index(name), convert) for name, convert in changes.units.items()]
            else:
                for place in numbers:
                    if place < len(cells):
                        cells[place] = _with_point(cells[place])
                for place, convert in conversions:
                    if place < len(cells):
                        cells[place] = _converted(cells[place], convert)
            writer.writerow(cells)


def _changed_header(header: list[str], changes: Changes) -> list[str]:
    listed = ", ".join(header[:20])
    for old, new in changes.names.items():
        if old not in header:
            raise Refused(
                f"--map {old}={new}: there is no column {suggestion(old, header)}. The columns are: {listed}."
            )
    changed = [changes.names.get(name, name) for name in header]
    for new in {*changes.names.values()}:
        if changed.count(new) > 1:
            raise Refused(f"--map: there would be more than one column {new}. The columns are: {listed}.")
    for field in changes.units:
        if field not in changed:
            raise Refused(f"--unit: there is no column {field}. The columns are: {listed}.")
    return changed


def _with_point(cell: str) -> str:
    text = cell.strip(BLANKS)
    return text.replace(".", "").replace(",", ".") if _COMMA_NUMBER.fullmatch(text) else cell


def _converted(cell: str, convert: Convert) -> str:
    text = cell.strip(BLANKS)
    return str(convert(Decimal(text))) if NUMBER.fullmatch(text) else cell


def _pair(option: str, form: str, text: str) -> tuple[str, str]:
    left, equals, right = (part.strip() for part in text.partition("="))
    if not (left and equals and right):
        raise Refused(f"{option} {text}: must be {form}.")
    return left, right
