"""A batch's file cut into chunks of rows, in one of the encodings that `models/rows.py` reads.

Rows are only told apart here; workers judge them. What makes a whole file unreadable is refused at once.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Final

from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from errors import FieldError, InvalidReading, MalformedBody
from models.schema import ReadingSchema
from tasks.jobs import Encoding
from web import json_rows
from web.http import Request
from web.upload import IN_MEMORY_BYTES, Upload

# What one worker is given at once; rows of ordinary readings fill a hundredth of it.
MAX_CHUNK_BYTES: Final = 64_000_000
MAX_LINE_BYTES: Final = 1_000_000
COMPRESSION_LIMIT: Final = 64
READ_BYTES: Final = 1 << 20
FIELDS: Final = ReadingSchema().fields
REQUIRED: Final = tuple(name for name, field in FIELDS.items() if field.required)

# Rows, and their bytes.
Chunk = tuple[int, bytes]


def cut(upload: Upload, media_type: str, chunk_rows: int) -> Iterator[Chunk]:
    """The chunks of an upload, each of `chunk_rows` rows but the last.

    Raises `MalformedBody` for what cannot be read, `InvalidReading` for missing columns, and werkzeug's 413
    for rows that are too large.
    """
    for rows, data in _READERS[media_type](upload, chunk_rows):
        if len(data) > MAX_CHUNK_BYTES:
            raise RequestEntityTooLarge(f"{rows} rows in a row hold more than {MAX_CHUNK_BYTES} bytes.")
        yield rows, data


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
    for some in _batched(rows, chunk_rows):
        yield len(some), b"\n".join(map(json_rows.line, some))


def _ndjson(upload: Upload, chunk_rows: int) -> Iterator[Chunk]:
    for some in _batched(_lines(upload.file), chunk_rows):
        yield len(some), b"\n".join(some)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    for number in itertools.count(1):
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        if len(line) > MAX_LINE_BYTES:
            raise RequestEntityTooLarge(f"Line {number} is longer than {MAX_LINE_BYTES} bytes.")
        if line := line.strip():
            yield line


def _csv(upload: Upload, chunk_rows: int) -> Iterator[Chunk]:
    """Records in their own words behind the header. Python's reader, which the worker uses too, says where
    one ends."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.TextIOWrapper(upload.file, "utf-8-sig", newline=""):
            taken.append(line)
            yield line

    reader = csv.reader(lines())
    try:
        header = next(reader, [])
        _check_columns(header)
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


def _parquet(upload: Upload, chunk_rows: int) -> Iterator[Chunk]:
    import pyarrow as pa  # 40 MB, for those web processes that are sent such files
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.PythonFile(upload.file, mode="r"), pre_buffer=False, buffer_size=READ_BYTES)
        _check_columns(file.schema_arrow.names)
        groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
        if sum(group.total_byte_size for group in groups) > COMPRESSION_LIMIT * max(
            upload.size_bytes, IN_MEMORY_BYTES
        ):
            raise RequestEntityTooLarge(f"The file says it grows more than {COMPRESSION_LIMIT} times.")
        known = [name for name in file.schema_arrow.names if name in FIELDS]
        held: list[Any] = []
        rows = 0
        for batch in file.iter_batches(batch_size=chunk_rows, columns=known):
            held.append(batch)
            rows += batch.num_rows
            if rows >= chunk_rows:
                table = pa.Table.from_batches(held)
                yield chunk_rows, _ipc(table.slice(0, chunk_rows))
                held = table.slice(chunk_rows).to_batches()
                rows -= chunk_rows
        if rows:
            yield rows, _ipc(pa.Table.from_batches(held))
    except (pa.ArrowException, OSError) as error:
        raise MalformedBody(f"The body is not Parquet: {str(error).splitlines()[0]}") from None


def _ipc(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _check_columns(names: list[str]) -> None:
    listed = ", ".join(names[:20]) or "none"
    problems = [
        FieldError(f"/{name}", f"There is no such column. The columns are: {listed}.", "required")
        for name in REQUIRED
        if name not in names
    ]
    problems += [
        FieldError(f"/{name}", "There is more than one such column.", "duplicate")
        for name in FIELDS
        if names.count(name) > 1
    ]
    if problems:
        raise InvalidReading(problems)


def _batched(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rows = iter(rows)
    while some := list(itertools.islice(rows, size)):
        yield some


_READERS: Final[dict[str, Callable[[Upload, int], Iterator[Chunk]]]] = {
    "application/json": _json,
    "application/x-ndjson": _ndjson,
    "text/csv": _csv,
    "application/vnd.apache.parquet": _parquet,
}
ENCODINGS: Final[dict[str, Encoding]] = {
    "application/json": "ndjson",
    "application/x-ndjson": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "arrow",
}
