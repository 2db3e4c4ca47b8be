"""Load recorded readings from a file, in the order of their times.

The file is Parquet or CSV (`.csv`, `.csv.gz`) with the columns of the contract, which `readings/arrow.py`
parses and `python -m models simulate` writes. A CSV of charging sessions is accepted too; each session
becomes the reading of its end. A folder may have the attributes of its chargers too, in `chargers.csv`. Only
for the replay command and the demo: pyarrow takes 40 MB.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from marshmallow import ValidationError

from consumers.replay.session_log import COLUMNS as SESSION_COLUMNS
from consumers.replay.session_log import Session
from errors import ServiceError
from readings.arrow import from_table
from readings.attributes import FIELDS as ATTRIBUTES
from readings.attributes import Attributes, parse_cells
from readings.reading import Reading

NEEDED: Final = ("charger_id", "connector_status", "timestamp")
CHARGERS: Final = "chargers.csv"
ROWS_AT_ONCE: Final = 4096
# Later than any recorded time, so that no row is refused as a time in the future here.
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)


class RecordingUnreadable(ServiceError):
    """Raised for a file without readable recorded readings, with the file and the reason."""

    code = "recording_unreadable"


@dataclass(frozen=True, slots=True)
class Recording:
    """Rows in the order of their times.

    `without_time` rows were left out: their time is missing or unreadable. `unreadable_time` is the first
    unreadable one as it stands in the file, None if all of these rows lack a time.
    """

    rows: pa.Table
    times: list[datetime]
    without_time: int
    unreadable_time: str | None = None
    # A description of each row that is no charging session. These rows were left out too.
    no_sessions: tuple[str, ...] = ()
    # By charger. The first reading of each charger has them in its metadata.
    attributes: Mapping[str, Attributes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    def readings(self) -> Iterator[tuple[datetime, Reading | str]]:
        """The time of each row with its reading, or with a description of its error."""
        stated = dict(self.attributes)
        for start in range(0, len(self), ROWS_AT_ONCE):
            some = from_table(self.rows.slice(start, ROWS_AT_ONCE), now=LATEST)
            for moment, found in zip(self.times[start : start + ROWS_AT_ONCE], some, strict=True):
                if isinstance(found, Reading):
                    attributes = stated.pop(found.charger_id, None)
                    yield moment, found._replace(metadata={"attributes": attributes}) if attributes else found
                else:
                    yield moment, f"{found.charger_id or 'a row without charger_id'}: {found.error}"


def load(path: Path, *, since: datetime | None = None, limit: int | None = None) -> Recording:
    """Load a file, or `readings.parquet` or `readings.csv` of a folder.

    Keeps the first `limit` readings that were recorded at `since` or later. Raises `RecordingUnreadable`.
    """
    file = _readings_in(path) if path.is_dir() else path
    try:
        table = _read_csv(file) if file.name.endswith((".csv", ".csv.gz")) else _read_parquet(file)
    except (pa.ArrowException, OSError) as error:
        raise RecordingUnreadable(f"{file}: {str(error).splitlines()[0]}") from error
    chargers = path / CHARGERS
    attributes = _attributes_in(chargers) if chargers.is_file() else {}
    no_sessions: list[str] = []
    if set(SESSION_COLUMNS) <= set(table.column_names):
        table, no_sessions = _of_sessions(table)
        if no_sessions and not len(table):
            raise RecordingUnreadable(f"{file}: is no table of sessions: {no_sessions[0]}.")
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise RecordingUnreadable(f"{file}: there is no column {', '.join(missing)}.")
    times = _times(table)
    in_order = sorted((moment, row) for row, moment in enumerate(times) if moment is not None)
    kept = [(moment, row) for moment, row in in_order if since is None or moment >= since][:limit]
    return Recording(
        rows=table.take(pa.array([row for _, row in kept], pa.int64())),
        times=[moment for moment, _ in kept],
        without_time=len(times) - len(in_order),
        unreadable_time=_unreadable(table, times),
        no_sessions=tuple(no_sessions),
        attributes=attributes,
    )


def _readings_in(folder: Path) -> Path:
    for name in ("readings.parquet", "readings.csv"):
        if (folder / name).is_file():
            return folder / name
    raise RecordingUnreadable(f"{folder}: holds neither readings.parquet nor readings.csv.")


def _attributes_in(file: Path) -> dict[str, Attributes]:
    """The attributes of each charger of a CSV file, as `POST /api/v1/chargers` takes it."""
    found: dict[str, Attributes] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            for row in csv.DictReader(lines):
                cells = {name: row[name] or "" for name in ATTRIBUTES if name in row}
                given = parse_cells(cells).items()
                found[row.get("charger_id") or ""] = {
                    name: value for name, value in given if value is not None
                }
    except (ValidationError, OSError, ValueError, csv.Error) as error:
        raise RecordingUnreadable(f"{file}: {error}") from error
    return found


def _read_csv(file: Path) -> pa.Table:
    """Read every column as text; `readings/arrow.py` parses it."""
    with pa_csv.open_csv(file) as reader:  # pyarrow detects compression by the file's name
        names = reader.schema.names
    as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return pa_csv.read_csv(file, convert_options=as_text)


def _read_parquet(file: Path) -> pa.Table:
    table = pq.read_table(file)
    if "error_codes" in table.column_names:
        codes = table["error_codes"]
        if pa.types.is_string(codes.type) or pa.types.is_large_string(codes.type):
            # Here, as in a history, an empty text means no error, and null a charger that never reports any.
            none_now = pc.if_else(pc.equal(codes, ""), pa.scalar("[]", codes.type), codes)
            table = table.set_column(table.column_names.index("error_codes"), "error_codes", none_now)
    return table


def _of_sessions(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """The readings of the sessions, and a description of each row that is none."""
    readings: list[dict[str, Any]] = []
    refused: list[str] = []
    for number, row in enumerate(table.select(SESSION_COLUMNS).to_pylist(), start=1):
        try:
            readings.append(_session(row).reading())
        except ValueError as error:
            refused.append(f"row {number}: {error}")
    return pa.Table.from_pylist(readings), refused


def _session(row: dict[str, Any]) -> Session:
    """The session of a row. Raises `ValueError` with the column of a value that is impossible."""
    numbers = {name: _number(name, row[name], kind) for name, kind in _NUMBERS.items()}
    if numbers["minutes"] <= 0:
        raise ValueError(f"minutes is {row['minutes']}, and must be more than 0")
    return Session(row["charger_id"], row["ended_at"], **numbers)


_NUMBERS: Final[dict[str, type[int | float]]] = {"minutes": int, "kwh": float, "session_number": int}


def _number(name: str, value: Any, kind: type[int | float]) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is {value!r}, not a {'whole ' if kind is int else ''}number") from None


def _unreadable(table: pa.Table, times: list[datetime | None]) -> str | None:
    texts = (table["timestamp"][row].as_py() for row, moment in enumerate(times) if moment is None)
    return next((str(text) for text in texts if text not in (None, "")), None)


def _times(table: pa.Table) -> list[datetime | None]:
    """The time of each row, None without a valid one."""
    same = {name: pa.repeat(pa.scalar(text), len(table)) for name, text in _ANYWHERE.items()}
    readings = from_table(pa.table({**same, "timestamp": table["timestamp"]}), now=LATEST)
    return [found.timestamp if isinstance(found, Reading) and found.stated_at else None for found in readings]


_ANYWHERE: Final = {"charger_id": "X", "connector_status": "AVAILABLE"}
