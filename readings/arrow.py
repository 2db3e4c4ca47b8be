"""Parse the rows of an Arrow table (CSV or Parquet) into readings, a column at a time.

The rules are those of `readings/schema.py`. Only plainly valid values are accepted here
(`readings/arrow_columns.py`). The schema validates every other row by itself, and names its errors. Empty and
null values are missing; `charger_id` may be integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from errors import InvalidReading
from isolation import together_or_alone
from readings.arrow_cells import cells
from readings.arrow_columns import judge
from readings.parsing import parse_reading
from readings.reading import MAX_ERROR_CODES, NO_METADATA, Reading
from readings.refused import Refused, said_id, unreadable
from readings.schema import FIELDS, REQUIRED

# The fields of `Reading` from the fourth up to `metadata`, in its order.
_IN_ORDER: Final = (
    "energy_delivered",
    "power",
    "temperature",
    "error_codes",
    "uptime_hours",
    "total_sessions",
    "last_maintenance",
)
# Placeholder of a row until the schema has validated it.
_UNJUDGED: Final = Refused(None, InvalidReading([]))


def from_ipc(data: bytes, *, now: datetime) -> list[Reading | Refused]:
    """A reading or a `Refused` for each row of an Arrow IPC stream, in order. `now` is the arrival time."""
    with pa.ipc.open_stream(data) as stream:
        return from_table(stream.read_all(), now=now)


def from_texts(
    header: Sequence[str], records: Sequence[Sequence[str]], *, now: datetime
) -> list[Reading | Refused]:
    """A reading or a `Refused` for each CSV record, in order.

    Each record has one text per column of `header`. `now` is the arrival time.
    """
    texts = zip(*records, strict=True) if records else ((),) * len(header)
    columns = {name: pa.array(column, pa.string()) for name, column in zip(header, texts, strict=True)}
    return from_table(pa.table(columns), now=now)


def from_table(table: pa.Table, *, now: datetime) -> list[Reading | Refused]:
    """A reading or a `Refused` for each row, in order. `now` is the arrival time.

    Unknown columns of any type are ignored. If parsing all rows together fails, each is parsed alone. A row
    whose parsing fails alone too is refused.
    """

    def judged(places: Sequence[int]) -> list[Reading | Refused]:
        return _judged_together(table.slice(places[0], 1) if len(places) == 1 else table, now)

    found = together_or_alone(judged, range(table.num_rows), unit="row")
    return [unreadable(row) if isinstance(row, Exception) else row for row in found]


def _judged_together(table: pa.Table, now: datetime) -> list[Reading | Refused]:
    table = table.select([name for name in table.column_names if name in FIELDS]).combine_chunks()
    table = _with_short_lists(table)
    n = table.num_rows
    right = np.ones(n, np.bool_)
    values: dict[str, list[Any]] = {}
    for name in FIELDS:
        if name in table.column_names:
            values[name], plainly = judge(name, table[name], now)
        else:
            values[name], plainly = [None] * n, np.full(n, name not in REQUIRED)
        right &= plainly
    found: list[Reading | Refused] = [
        Reading._make((*row, NO_METADATA, stated)) if right else _UNJUDGED
        for right, stated, row in zip(
            right.tolist(),
            [moment is not None for moment in values["timestamp"]],
            zip(
                values["charger_id"],
                values["connector_status"],
                [now if moment is None else moment for moment in values["timestamp"]],
                *(values[name] for name in _IN_ORDER),
                strict=True,
            ),
            strict=True,
        )
    ]
    doubtful = np.flatnonzero(~right).tolist()
    if not doubtful:
        return found
    for index, raw in zip(doubtful, _rows(table, doubtful), strict=True):
        try:
            found[index] = parse_reading(raw, now=now)
        except InvalidReading as error:
            found[index] = Refused(said_id(raw), error)
    return found


def _with_short_lists(table: pa.Table) -> pa.Table:
    """The table with lists of error codes cut after the first one too many, which is enough to refuse them.

    A row of a few bytes in Parquet may have millions, and each would become an object.
    """
    if "error_codes" not in table.column_names:
        return table
    codes = table["error_codes"]
    if not (pa.types.is_list(codes.type) or pa.types.is_large_list(codes.type)):
        return table
    if (pc.max(pc.list_value_length(codes)).as_py() or 0) <= MAX_ERROR_CODES:
        return table
    cut = pc.list_slice(codes, 0, MAX_ERROR_CODES + 1)
    return table.set_column(table.column_names.index("error_codes"), "error_codes", cut)


def _rows(table: pa.Table, places: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows at these places as JSON objects; null and empty values are left out."""
    columns = [cells(name, table[name].chunk(0), places) for name in table.column_names]
    for row in zip(*columns, strict=True):
        named = zip(table.column_names, row, strict=True)
        yield {name: value for name, value in named if value is not None and value != ""}
