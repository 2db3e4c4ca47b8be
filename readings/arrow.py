"""Readings from an Arrow table: what a column of a CSV or Parquet file says, judged a column at a time.

The rules are those of `readings/schema.py`. As with a single body, only what is plainly right is passed here
(`readings/arrow_columns.py`); every other row is judged by the schema, alone, which also words what is wrong
with it. Empty and null are missing; `charger_id` may be integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from errors import InvalidReading
from isolation import together_or_alone
from readings.arrow_cells import cells
from readings.arrow_columns import judge
from readings.parsing import parse_reading
from readings.reading import NO_METADATA, Reading
from readings.refused import Refused, said_id, unreadable
from readings.schema import FIELDS, REQUIRED

# `Reading`'s fields between the third and `metadata`.
_IN_ORDER: Final = (
    "energy_delivered",
    "power",
    "temperature",
    "error_codes",
    "uptime_hours",
    "total_sessions",
    "last_maintenance",
)
# Takes the place of a row until the schema has judged it.
_UNJUDGED: Final = Refused(None, InvalidReading([]))


def from_ipc(data: bytes, *, now: datetime) -> list[Reading | Refused]:
    """One for each row of an Arrow IPC stream, in order. `now` is the time of arrival."""
    with pa.ipc.open_stream(data) as stream:
        return from_table(stream.read_all(), now=now)


def from_texts(
    header: Sequence[str], records: Sequence[Sequence[str]], *, now: datetime
) -> list[Reading | Refused]:
    """One for each record of a CSV file, in order. Each has a text for each column of `header`."""
    texts = zip(*records, strict=True) if records else ((),) * len(header)
    columns = {name: pa.array(column, pa.string()) for name, column in zip(header, texts, strict=True)}
    return from_table(pa.table(columns), now=now)


def from_table(table: pa.Table, *, now: datetime) -> list[Reading | Refused]:
    """One for each row, in order. Columns that the contract does not know are ignored, of whatever type.

    Where rows cannot be judged together each is judged alone. One that cannot be judged at all is refused.
    """

    def judged(places: Sequence[int]) -> list[Reading | Refused]:
        return _judged_together(table.slice(places[0], 1) if len(places) == 1 else table, now)

    found = together_or_alone(judged, range(table.num_rows), unit="row")
    return [unreadable(row) if isinstance(row, Exception) else row for row in found]


def _judged_together(table: pa.Table, now: datetime) -> list[Reading | Refused]:
    table = table.select([name for name in table.column_names if name in FIELDS]).combine_chunks()
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


def _rows(table: pa.Table, places: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Those rows as a caller would have sent them in JSON; what is null is left out."""
    columns = [cells(name, table[name].chunk(0), places) for name in table.column_names]
    for row in zip(*columns, strict=True):
        named = zip(table.column_names, row, strict=True)
        yield {name: value for name, value in named if value is not None and value != ""}
