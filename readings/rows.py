"""Parse the stored rows of a batch into readings: JSON lines, CSV with a header, or Arrow.

A bad row is refused by itself and does not affect the others.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter

from errors import InvalidReading, MalformedBody
from isolation import together_or_alone
from readings.flat_or_envelope import parse_flat_or_enveloped
from readings.parsing import decode_json
from readings.reading import Reading
from readings.refused import Refused, said_id, unreadable
from readings.schema import FIELDS


def from_ndjson(data: bytes, *, now: datetime, first_line: int | None = None) -> list[Reading | Refused]:
    """A reading or a `Refused` for each JSON line, in order. `now` is the arrival time.

    `first_line` is the number of the first line in its file, None if it is not known.
    """
    lines = data.split(b"\n")

    def read(places: Sequence[int]) -> list[Reading | Refused]:
        return [
            _from_line(lines[place], now, None if first_line is None else first_line + place)
            for place in places
        ]

    found = together_or_alone(read, range(len(lines)), unit="row")
    return [unreadable(row) if isinstance(row, Exception) else row for row in found]


def _from_line(line: bytes, now: datetime, number: int | None) -> Reading | Refused:
    try:
        raw = decode_json(line, for_schema=True)
    except MalformedBody:
        name = "The line" if number is None else f"Line {number}"
        return Refused(None, MalformedBody(f"{name} is not JSON."))
    try:
        return parse_flat_or_enveloped(raw, now=now)
    except InvalidReading as error:
        return Refused(said_id(raw) if isinstance(raw, dict) else None, error)


# The limit of a cell, equal to the web's limit of a line. Python's default would refuse a whole chunk.
csv.field_size_limit(1_000_000)


def from_csv(data: bytes, *, now: datetime) -> list[Reading | Refused]:
    """A reading or a `Refused` for each record after the header, in order. `now` is the arrival time."""
    from readings import arrow  # pyarrow takes 40 MB; workers of other queues do not need it

    records = csv.reader(io.StringIO(data.decode(), newline=""))
    header = next(records)
    # A record may have a hundred thousand cells: those of unknown columns are dropped one record at a time.
    # At least the two required columns are there: the web process has checked the header.
    known = itemgetter(*(place for place, name in enumerate(header) if name in FIELDS))
    width = len(header)
    whole: list[Sequence[str]] = []
    wrong: dict[int, Refused] = {}
    for number, record in enumerate(records):
        if len(record) == width:
            whole.append(known(record))
        else:
            wrong[number] = _of_wrong_length(record, header)
    judged = arrow.from_texts(known(header), whole, now=now)
    if not wrong:
        return judged
    following = iter(judged)
    return [
        wrong[number] if number in wrong else next(following) for number in range(len(whole) + len(wrong))
    ]


def _of_wrong_length(record: list[str], header: list[str]) -> Refused:
    place = header.index("charger_id")
    detail = f"The row has {len(record)} fields, the header has {len(header)}."
    return Refused(record[place] if place < len(record) else None, MalformedBody(detail))


def from_arrow(data: bytes, *, now: datetime) -> list[Reading | Refused]:
    """A reading or a `Refused` for each row of an Arrow IPC stream, in order. `now` is the arrival time."""
    from readings import arrow

    return arrow.from_ipc(data, now=now)
