"""A batch's file cut into chunks of rows, in one of the encodings that `models/rows.py` reads.

Rows are only told apart here; workers judge them. What makes a whole file unreadable is refused at once.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Final

from werkzeug.exceptions import UnsupportedMediaType

from errors import MalformedBody
from tasks.jobs import Encoding
from web import json_rows
from web.http import Request
from web.parquet_rows import chunks_of_parquet
from web.row_checks import MAX_LINE_BYTES, check_columns, check_line, check_size
from web.upload import IN_MEMORY_BYTES, Upload

csv.field_size_limit(MAX_LINE_BYTES)

# Rows, and their bytes.
Chunk = tuple[int, bytes]


def cut(upload: Upload, media_type: str, chunk_rows: int) -> Iterator[Chunk]:
    """The chunks of an upload, each of `chunk_rows` rows but the last.

    Raises `MalformedBody` for what cannot be read, `InvalidReading` for missing columns, and werkzeug's 413
    for rows that are too large.
    """
    return _READERS[media_type](upload, chunk_rows)


def rows_about(upload: Upload, media_type: str) -> float:
    """How many rows an upload holds, roughly: it decides how they are shared out. `file` stands as before."""
    mark, row_bytes = _ROWS[media_type]
    if mark and upload.size_bytes <= IN_MEMORY_BYTES:
        rows = upload.file.read().count(mark)
        upload.file.seek(0)
        return rows
    return upload.size_bytes / row_bytes


def media_type_of(request: Request) -> str:
    """The key of `ENCODINGS` for this request's `Content-Type`. Raises werkzeug's 415 where there is none."""
    media_type = "application/json" if request.mimetype.endswith("+json") else request.mimetype
    if media_type not in ENCODINGS:
        raise UnsupportedMediaType(f"Send Content-Type: one of {', '.join(ENCODINGS)}.")
    return media_type


def _json(upload: Upload, chunk_rows: int) -> Iterator[Chunk]:
    """`{"chargers": [reading, …]}`. Small ones are decoded at once, which words errors better."""
    small = upload.size_bytes <= IN_MEMORY_BYTES
    rows = json_rows.whole(upload.file.read()) if small else json_rows.in_windows(upload.file)
    return _of_lines(map(json_rows.line, rows), chunk_rows)


def _ndjson(upload: Upload, chunk_rows: int) -> Iterator[Chunk]:
    return _of_lines(_lines(upload.file), chunk_rows)


def _of_lines(lines: Iterable[bytes], chunk_rows: int) -> Iterator[Chunk]:
    held: list[bytes] = []
    size_bytes = 0
    for line in lines:
        held.append(line)
        size_bytes += len(line)
        check_size(size_bytes)
        if len(held) == chunk_rows:
            yield len(held), b"\n".join(held)
            held, size_bytes = [], 0
    if held:
        yield len(held), b"\n".join(held)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    for number in itertools.count(1):
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        check_line(len(line), number)
        if line := line.strip():
            yield line


def _csv(upload: Upload, chunk_rows: int) -> Iterator[Chunk]:
    """Records in their own words behind the header. Python's reader, which the worker uses too, says where
    one ends."""
    taken: list[str] = []
    text = io.TextIOWrapper(upload.file, "utf-8-sig", newline="")

    def lines() -> Iterator[str]:
        size = 0
        for number in itertools.count(1):
            line = text.readline(MAX_LINE_BYTES + 1)
            if not line:
                return
            check_line(len(line), number)
            size = len(line) + (size if taken else 0)
            check_size(size)
            taken.append(line)
            yield line

    reader = csv.reader(lines())
    try:
        header = next(reader, [])
        check_columns(header)
        heading = "".join(taken)
        taken.clear()
        rows = 0
        for record in reader:
            if not record:
                taken.pop()  # an empty line
                continue
            rows += 1
            if rows == chunk_rows:
                yield rows, (heading + "".join(taken)).encode()
                rows = 0
                taken.clear()
        if rows:
            yield rows, (heading + "".join(taken)).encode()
    except (csv.Error, UnicodeDecodeError) as error:
        raise MalformedBody(f"The body is not CSV in UTF-8, near line {reader.line_num}: {error}.") from None


_READERS: Final[dict[str, Callable[[Upload, int], Iterator[Chunk]]]] = {
    "application/json": _json,
    "application/x-ndjson": _ndjson,
    "text/csv": _csv,
    "application/vnd.apache.parquet": chunks_of_parquet,
}
# What each row holds once, and the size of one with most of its fields.
_ROWS: Final = {
    "application/json": (b'"charger_id"', 250),
    "application/x-ndjson": (b"\n", 250),
    "text/csv": (b"\n", 100),
    "application/vnd.apache.parquet": (b"", 40),
}
ENCODINGS: Final[dict[str, Encoding]] = {
    "application/json": "ndjson",
    "application/x-ndjson": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "arrow",
}
