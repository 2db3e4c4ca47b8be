"""Cut a batch's file into chunks of rows, in one of the encodings that `readings/rows.py` reads.

Rows are only separated here; the workers check them. A file that is unreadable as a whole is refused at once.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Final

from errors import MalformedBody, UnsupportedMediaType
from tasks.jobs.job_record import Encoding
from web.http.messages import Request
from web.uploads import json_rows
from web.uploads.column_names import check_columns
from web.uploads.file_start import refuse_other_formats
from web.uploads.parquet_rows import chunks_of_parquet
from web.uploads.upload import IN_MEMORY_BYTES, MAX_LINE_BYTES, Upload, check_line, check_size

csv.field_size_limit(MAX_LINE_BYTES)

# `surrogateescape` maps a byte that is not UTF-8 (0x80 to 0xff) to this code point plus the byte.
_SURROGATE: Final = 0xDC00
_NOT_UTF_8: Final = re.compile("[\udc80-\udcff]").search

# The number of rows, and their bytes.
Chunk = tuple[int, bytes]


def cut(upload: Upload, media_type: str, chunk_rows: int) -> Iterator[Chunk]:
    """The chunks of an upload, each of `chunk_rows` rows except the last.

    Raises `MalformedBody` for a file that cannot be read, `InvalidReading` for missing columns, and
    werkzeug's 413 for rows that are too large.
    """
    refuse_other_formats(upload.file)
    return _READERS[media_type](upload, chunk_rows)


def rows_about(upload: Upload, media_type: str) -> float:
    """Estimate the number of rows of an upload, to choose the chunk size. Leaves `file` at its start."""
    mark, row_bytes = _ROWS[media_type]
    if mark and upload.size_bytes <= IN_MEMORY_BYTES:
        rows = upload.file.read().count(mark)
        upload.file.seek(0)
        return rows
    return upload.size_bytes / row_bytes


def media_type_of(request: Request) -> str:
    """The key of `ENCODINGS` for this `Content-Type`. Raises `UnsupportedMediaType` for any other."""
    media_type = "application/json" if request.mimetype.endswith("+json") else request.mimetype
    if media_type not in ENCODINGS:
        raise UnsupportedMediaType(f"Send Content-Type: one of {', '.join(ENCODINGS)}.")
    return media_type


def _json(upload: Upload, chunk_rows: int) -> Iterator[Chunk]:
    """Chunks of `{"chargers": [reading, …]}`. Small documents are decoded whole: the errors are better."""
    small = upload.size_bytes <= IN_MEMORY_BYTES
    rows = json_rows.whole(upload.file.read()) if small else json_rows.in_windows(upload.file)
    return _of_lines(map(json_rows.encode_row, rows), chunk_rows)


def _ndjson(upload: Upload, chunk_rows: int) -> Iterator[Chunk]:
    return _of_lines(_lines(upload), chunk_rows)


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


def _lines(upload: Upload) -> Iterator[bytes]:
    blank_lines = 0
    for number in itertools.count(1):
        line = upload.file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        check_line(len(line), number)
        if line := line.strip():
            upload.blank_lines = blank_lines
            yield line
        else:
            blank_lines += 1


class _CsvLines:
    """Iterator over the lines of a CSV file, for Python's reader. `number` is the last line's.

    `taken` collects the lines until the caller clears it. Iterating raises `MalformedBody` for a line that
    is not UTF-8, and werkzeug's 413.
    """

    def __init__(self, file: IO[bytes]) -> None:
        # Invalid bytes become lone surrogates: a strict decoder would fail pages before the wrong line.
        self._text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
        self.taken: list[str] = []
        self.number = 0
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        readline, taken = self._text.readline, self.taken
        taken_bytes = 0
        while line := readline(MAX_LINE_BYTES + 1):
            self.number += 1
            check_line(len(line), self.number)
            if not line.isascii() and (wrong := _NOT_UTF_8(line)):
                raise MalformedBody(
                    f"The body is not CSV in UTF-8: line {self.number} has the byte "
                    f"0x{ord(wrong[0]) - _SURROGATE:02x} as its character {wrong.start() + 1}. "
                    "Save it as UTF-8; in Excel: CSV UTF-8."
                )
            taken_bytes = len(line) + (taken_bytes if taken else 0)
            check_size(taken_bytes)
            taken.append(line)
            yield line
        self.ended = True


def csv_chunks(
    upload: Upload, chunk_rows: int, check: Callable[[Sequence[str]], list[str]] = check_columns
) -> Iterator[Chunk]:
    """Chunks of the header and the unchanged text of each record. `check` is `check_columns` for the header.

    Python's reader, which the worker uses too, finds the end of each record. Raises like `cut`.
    """
    lines = _CsvLines(upload.file)
    reader = csv.reader(lines)
    begun = 1  # the first line of the record that is being read
    try:
        header = next(reader, [])
        if lines.ended and header:
            raise _unclosed(begun)
        upload.ignored_columns = check(header)
        heading = "".join(lines.taken)
        lines.taken.clear()
        rows = 0
        begun = lines.number + 1
        for record in reader:
            if lines.ended:  # the reader treats the end of the file as the end of the record
                raise _unclosed(begun)
            begun = lines.number + 1
            if not record:
                lines.taken.pop()  # an empty line
                continue
            rows += 1
            if rows == chunk_rows:
                yield rows, (heading + "".join(lines.taken)).encode()
                rows = 0
                lines.taken.clear()
        if rows:
            yield rows, (heading + "".join(lines.taken)).encode()
    except csv.Error as error:
        if lines.number > begun:  # a single line is always shorter than the limit of a cell
            raise _unclosed(begun) from None
        raise MalformedBody(f"The body is not CSV: line {lines.number}: {error}.") from None


def _unclosed(line: int) -> MalformedBody:
    return MalformedBody(
        f'The body is not CSV: a quote (") that is opened in the row of line {line} is never closed, '
        f"or only after more than {MAX_LINE_BYTES} characters."
    )


_READERS: Final[dict[str, Callable[[Upload, int], Iterator[Chunk]]]] = {
    "application/json": _json,
    "application/x-ndjson": _ndjson,
    "text/csv": csv_chunks,
    "application/vnd.apache.parquet": chunks_of_parquet,
}
# Bytes that occur once per row, and the size in bytes of a row with most of its fields.
_ROWS: Final = {
    "application/json": (b'"charger_id"', 250),
    "application/x-ndjson": (b"\n", 250),
    "text/csv": (b"\n", 100),
    "application/vnd.apache.parquet": (b"", 40),
}
# Formats in which half a file is valid too.
OF_LINES: Final = frozenset({"application/x-ndjson", "text/csv"})
ENCODINGS: Final[dict[str, Encoding]] = {
    "application/json": "ndjson",
    "application/x-ndjson": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "arrow",
}
