"""The rows of a batch, as they are stored, become readings: JSON lines, CSV with its header, or Arrow.

One bad row is told by itself and costs the others nothing.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import metrics
from errors import InvalidReading, MalformedBody, ServiceError
from readings.parsing import decode_json, parse_reading
from readings.reading import Reading

log = logging.getLogger(__name__)


class Refused(NamedTuple):
    """A row that is no reading: whose it says it is, and what is wrong."""

    charger_id: str | None
    error: ServiceError


def from_ndjson(data: bytes, *, now: datetime) -> list[Reading | Refused]:
    """One for each line, in order. `now` is the time of arrival."""
    return [_from_line(line, now) for line in data.split(b"\n")]


def _from_line(line: bytes, now: datetime) -> Reading | Refused:
    raw: Any = None
    try:
        raw = decode_json(line, for_schema=True)
        return parse_reading(raw, now=now)
    except (InvalidReading, MalformedBody) as error:
        return Refused(said_id(raw) if isinstance(raw, dict) else None, error)
    except Exception as error:
        return unreadable(error)


def unreadable(error: Exception) -> Refused:
    """A row at which reading it raised an error that no code expects. It costs its neighbours nothing."""
    log.warning("a row cannot be read: %r", error)  # a file may have a million of them
    metrics.UNEXPECTED_ERRORS.labels(unit="row").inc()
    return Refused(None, ServiceError(f"The row cannot be read ({type(error).__name__})."))


def said_id(raw: Mapping[str, Any]) -> str | None:
    """The row's `charger_id` as text, even if it is not a valid id. None for other than text and numbers.

    The text can be encoded: a lone surrogate in it becomes a question mark.
    """
    said = raw.get("charger_id")
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return None
    return str(said).encode("utf-8", "replace").decode()


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
