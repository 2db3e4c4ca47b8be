"""Check a file of readings without a service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from evzone_ml_client.command.csv_changes import BLANKS, NUMBER
from evzone_ml_client.command.csv_file import is_csv, open_text, records
from evzone_ml_client.command.field_names import (
    READING_FIELDS,
    REQUIRED_FIELDS,
    ignored_line,
    unknown_columns,
)
from evzone_ml_client.command.outcome import Exit, Refused
from evzone_ml_client.schemas import Reading

NUMBERS: Final = ("energy_delivered", "power", "temperature", "uptime_hours", "total_sessions")
TIMES: Final = ("timestamp", "last_maintenance")
ROWS_SHOWN: Final = 20
NOT_CHECKED: Final = (
    "Checked: columns, required fields, statuses, number formats and times. Not checked: limits of values, "
    "error codes, metadata and the file's size."
)
_EPOCH: Final = re.compile(r"[0-9]{9,}(\.[0-9]+)?")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+")

# A row's line, and the problems of its fields.
Row = tuple[int, list[str]]


def check(file: Path, input_format: str, print_line: Callable[[str], None]) -> Exit:
    """Check a CSV or NDJSON file, print its problems and what was checked. Blocks for the disk.

    Memory is that of one row. Raises `Refused` for other formats, and for a file that cannot be read or lacks
    a required column.
    """
    if is_csv(input_format):
        found = _csv_rows(file, input_format, print_line)
    elif input_format.startswith(("ndjson", "jsonl")):
        found = _ndjson_rows(file, input_format)
    else:
        raise Refused("--check reads CSV and NDJSON files only.")
    rows = wrong = 0
    for line, problems in found:
        rows += 1
        wrong += bool(problems)
        if problems and wrong <= ROWS_SHOWN:
            for problem in problems:
                print_line(f"  line {line}, {problem}")
    if not rows:
        raise Refused("The file has no rows.")
    if wrong > ROWS_SHOWN:
        print_line(f"  … and {wrong - ROWS_SHOWN:,} more rows")
    print_line(f"{rows:,} {'row' if rows == 1 else 'rows'} checked, {wrong:,} with problems.")
    print_line(NOT_CHECKED)
    return Exit.SOME_ROWS_FAILED if wrong else Exit.SCORED


def _csv_rows(file: Path, input_format: str, print_line: Callable[[str], None]) -> Iterator[Row]:
    header: list[str] | None = None
    for line, cells in records(file, input_format):
        if header is None:
            header = cells
            _check_header(header, print_line)
        elif len(cells) != len(header):
            yield line, [f"the row has {len(cells)} fields, the header has {len(header)}"]
        else:
            yield line, _problems(dict(zip(header, cells, strict=True)), _csv_problem)
    if header is None:
        raise Refused("The file is empty.")


def _check_header(header: list[str], print_line: Callable[[str], None]) -> None:
    missing = [name for name in REQUIRED_FIELDS if name not in header]
    twice = [name for name in READING_FIELDS if header.count(name) > 1]
    if missing:
        hint = f"The columns are: {', '.join(header[:20])}."
        if len(header) == 1 and ";" in header[0]:
            hint = "The header looks semicolon-separated; use commas."
        raise Refused(" ".join([*(f"Column {name} is missing." for name in missing), hint]))
    if twice:
        raise Refused(" ".join(f"There is more than one column {name}." for name in twice))
    if ignored := unknown_columns(header):
        print_line(ignored_line(ignored))


def _ndjson_rows(file: Path, input_format: str) -> Iterator[Row]:
    with open_text(file, input_format) as text:
        for line, content in enumerate(text, start=1):
            if not content.strip():
                continue
            try:
                row = json.loads(content)
            except ValueError:
                yield line, ["the row: is not JSON"]
                continue
            if not isinstance(row, dict):
                yield line, ["the row: must be an object"]
                continue
            if isinstance(inner := row.get("metrics"), dict):
                row = {"charger_id": row.get("charger_id"), **inner}
            yield line, _problems(row, _json_problem)


def _problems(row: Mapping[str, Any], problem_of: Callable[[str, Any], str | None]) -> list[str]:
    found = [f"{name}: is missing" for name in REQUIRED_FIELDS if row.get(name) in (None, "")]
    for name in ("connector_status", *NUMBERS, *TIMES):
        value = row.get(name)
        if value is None or value == "":
            continue
        problem = problem_of(name, value)
        if problem is not None:
            found.append(f"{name}: {problem}")
    return found


def _csv_problem(name: str, cell: str) -> str | None:
    if name == "connector_status":
        return _status_problem(cell)
    text = cell.strip(BLANKS)
    if not text:
        return None
    if name in NUMBERS:
        if NUMBER.fullmatch(text):
            return None
        hint = "; use a decimal point" if _DECIMAL_COMMA.fullmatch(text) else ""
        return f"{text[:40]!r} is not a number{hint}"
    if name == "timestamp" and _EPOCH.fullmatch(text):
        return None
    return _time_problem(text)


def _json_problem(name: str, value: Any) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in NUMBERS:
        return None if number else f"{str(value)[:40]!r} is not a JSON number"
    if name == "timestamp" and number:
        return None
    if not isinstance(value, str):
        return f"{str(value)[:40]!r} is not text"
    return _status_problem(value) if name == "connector_status" else _time_problem(value)


def _status_problem(text: str) -> str | None:
    return None if _plain(text) in _STATUSES else f"{text[:40]!r} is not a connector status"


def _time_problem(text: str) -> str | None:
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return f"{text[:40]!r} is not an ISO 8601 time, like 2026-11-20T08:30:00Z"
    return None


def _plain(status: str) -> str:
    """A status as the service compares it: in any case, with or without blanks and dashes."""
    return re.sub(r"[\s_-]", "", status).lower()


_STATUSES: Final = frozenset(map(_plain, get_args(get_type_hints(Reading)["connector_status"])))
