"""Check a file of readings without a service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from evzone_ml_client.command.cell_problems import epoch_problem, number_problem, time_problem
from evzone_ml_client.command.csv_changes import BLANKS, NUMBERS
from evzone_ml_client.command.csv_file import is_csv, open_text, records
from evzone_ml_client.command.field_names import (
    READING_FIELDS,
    REQUIRED_FIELDS,
    ignored_line,
    nearest,
    unknown_columns,
)
from evzone_ml_client.command.implausible import Doubts
from evzone_ml_client.command.outcome import Exit, Refused
from evzone_ml_client.schemas import Reading

TIMES: Final = ("timestamp", "last_maintenance")
ROWS_SHOWN: Final = 20
NOT_CHECKED: Final = (
    "Checked: columns, required fields, statuses, number formats and times. Not checked: limits of values, "
    "error codes, metadata and the file's size."
)
# Bytes that are not UTF-8, as `open_text` reads them.
_NOT_UTF_8: Final = re.compile("[\udc80-\udcff]")
# First bytes of other formats.
_OTHER_FORMATS: Final = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive. Save the sheet as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls). Save the sheet as CSV UTF-8",
    b"\x1f\x8b": "compressed by gzip. Let its name end in .gz",
    b"\xff\xfe": "in UTF-16. Save it as UTF-8; in Excel: CSV UTF-8, not Unicode text",
    b"\xfe\xff": "in UTF-16. Save it as UTF-8; in Excel: CSV UTF-8, not Unicode text",
}
_SEPARATORS: Final = {";": "semicolon-separated", "\t": "tab-separated", "|": "separated by |"}

# A row's line, and the problems of its fields.
Row = tuple[int, list[str]]


def check(file: Path, input_format: str, print_line: Callable[[str], None]) -> Exit:
    """Check a CSV or NDJSON file, print its problems and what was checked. Blocks for the disk.

    Memory is that of one row. Raises `Refused` for other formats, and for a file that cannot be read or lacks
    a required column.
    """
    if not input_format.endswith(".gz"):
        _refuse_other_formats(file)
    doubts = Doubts()
    if is_csv(input_format):
        found = _csv_rows(file, input_format, doubts, print_line)
    elif input_format.startswith(("ndjson", "jsonl")):
        found = _ndjson_rows(file, input_format, doubts)
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
    for warning in doubts.lines():
        print_line(warning)
    print_line(f"{rows:,} {'row' if rows == 1 else 'rows'} checked, {wrong:,} with problems.")
    print_line(NOT_CHECKED)
    return Exit.SOME_ROWS_FAILED if wrong else Exit.SCORED


def _refuse_other_formats(file: Path) -> None:
    with file.open("rb") as opened:
        start = opened.read(4)
    for mark, named in _OTHER_FORMATS.items():
        if start.startswith(mark):
            raise Refused(f"{file}: is {named}.")


def _csv_rows(
    file: Path, input_format: str, doubts: Doubts, print_line: Callable[[str], None]
) -> Iterator[Row]:
    header: list[str] | None = None
    for line, cells in records(file, input_format):
        if _NOT_UTF_8.search("".join(cells)):
            raise Refused(f"{file}: line {line} is not UTF-8. Save the file as UTF-8; in Excel: CSV UTF-8.")
        if header is None:
            header = cells
            _check_header(header, print_line)
        elif len(cells) != len(header):
            yield line, [f"the row has {len(cells)} fields, the header has {len(header)}"]
        else:
            row = dict(zip(header, cells, strict=True))
            doubts.note(line, row)
            yield line, _problems(row, _csv_problem)
    if header is None:
        raise Refused("The file is empty.")


def _check_header(header: list[str], print_line: Callable[[str], None]) -> None:
    missing = [name for name in REQUIRED_FIELDS if name not in header]
    twice = [name for name in READING_FIELDS if header.count(name) > 1]
    if missing:
        raise Refused(" ".join([*(f"Column {name} is missing." for name in missing), _hint(header, missing)]))
    if twice:
        raise Refused(" ".join(f"There is more than one column {name}." for name in twice))
    if ignored := unknown_columns(header):
        print_line(ignored_line(ignored))


def _hint(header: list[str], missing: list[str]) -> str:
    if header[0].startswith("sep="):
        return "The first line is Excel's sep= line; remove it."
    if len(header) == 1:
        for separator, how in _SEPARATORS.items():
            if separator in header[0]:
                also = " In a file with decimal commas too: --semicolons." if separator == ";" else ""
                return f"The header looks {how}; use commas.{also}"
    elif len([name for name in header if name.strip()]) < 2:
        return "The first line must be the header; remove the lines before it."
    listed = f"The columns are: {', '.join(name[:100] for name in header[:20] if name.strip())}."
    maps = [f"--map '{name}={field}'" for field in missing if (name := nearest(field, header)) is not None]
    return f"{listed} Perhaps: {' '.join(maps)}" if maps else listed


def _ndjson_rows(file: Path, input_format: str, doubts: Doubts) -> Iterator[Row]:
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
            doubts.note(line, row)
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
    return number_problem(text) if name in NUMBERS else time_problem(text, epoch=name == "timestamp")


def _json_problem(name: str, value: Any) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in NUMBERS:
        return None if number else f"{str(value)[:40]!r} is not a JSON number"
    if name == "timestamp" and number:
        return epoch_problem(value, str(value))
    if not isinstance(value, str):
        return f"{str(value)[:40]!r} is not text"
    return _status_problem(value) if name == "connector_status" else time_problem(value, epoch=False)


def _status_problem(text: str) -> str | None:
    return None if _plain(text) in _STATUSES else f"{text[:40]!r} is not a connector status"


def _plain(status: str) -> str:
    """A status as the service compares it: in any case, with or without blanks and dashes."""
    return re.sub(r"[\s_-]", "", status).lower()


_STATUSES: Final = frozenset(map(_plain, get_args(get_type_hints(Reading)["connector_status"])))
