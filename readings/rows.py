"""The rows of a batch, as they are stored, become readings: JSON lines, CSV with its header, or Arrow.

One bad row is told by itself and costs the others nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from errors import InvalidReading, MalformedBody
from isolation import together_or_alone
from readings.parsing import decode_json, parse_reading
from readings.reading import Reading
from readings.refused import Refused, said_id, unreadable


def from_ndjson(data: bytes, *, now: datetime) -> list[Reading | Refused]:
    """One for each line, in order. `now` is the time of arrival."""
    lines = data.split(b"\n")

    def read(places: Sequence[int]) -> list[Reading | Refused]:
        return [_from_line(lines[place], now) for place in places]

    found = together_or_alone(read, range(len(lines)), unit="row")
    return [unreadable(row) if isinstance(row, Exception) else row for row in found]


def _from_line(line: bytes, now: datetime) -> Reading | Refused:
    raw: Any = None
    try:
        raw = decode_json(line, for_schema=True)
        return parse_reading(raw, now=now)
    except (InvalidReading, MalformedBody) as error:
        return Refused(said_id(raw) if isinstance(raw, dict) else None, error)


# Of a cell; the door lets no longer line in. Python's own limit would be the end of the whole chunk.
csv.field_size_limit(1_000_000)


def from_csv(data: bytes, *, now: datetime) -> list[Reading | Refused]:
    """One for each record after the header, in order."""
    from readings import arrow  # pyarrow is 40 MB, which the workers of other queues do without

    header, *records = csv.reader(io.StringIO(data.decode(), newline=""))
    whole = [record for record in records if len(record) == len(header)]
    judged = iter(arrow.from_texts(header, whole, now=now))
    return [
        next(judged) if len(record) == len(header) else _of_wrong_length(record, header) for record in records
    ]


def _of_wrong_length(record: list[str], header: list[str]) -> Refused:
    place = header.index("charger_id")
    detail = f"The row has {len(record)} fields, the header has {len(header)}."
    return Refused(record[place] if place < len(record) else None, MalformedBody(detail))


def from_arrow(data: bytes, *, now: datetime) -> list[Reading | Refused]:
    """One for each row of an Arrow IPC stream, in order."""
    from readings import arrow

    return arrow.from_ipc(data, now=now)
