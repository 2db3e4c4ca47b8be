"""Write the results of jobs as NDJSON, CSV and Parquet, chunk by chunk."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from tasks.jobs.job_record import JobKind
from tasks.jobs.job_store import Lines
from web.downloads.chosen_columns import Columns
from web.downloads.result_tables import SCHEMAS, flat, table_of, without_formulas

# Rows per written piece: the buffers on the way to the client stay small compared with a chunk.
SOME_ROWS: Final = 512


def as_ndjson(chunks: Lines, kind: JobKind, columns: Columns | None = None) -> Iterator[bytes]:
    """NDJSON: one result per line, as stored, or with the chosen `columns`. `kind` is not used."""
    for lines in chunks:
        for some in _some(lines):
            shown = some if columns is None else [columns.of_line(line) for line in some]
            yield b"\n".join([*shown, b""])


def as_csv(chunks: Lines, kind: JobKind, columns: Columns | None = None) -> Iterator[bytes]:
    """CSV by RFC 4180. The header is written even without rows."""
    return _csv_of(chunks, kind, columns, lambda table: table)


def as_csv_for_spreadsheets(chunks: Lines, kind: JobKind, columns: Columns | None = None) -> Iterator[bytes]:
    """CSV as `as_csv`, with a `'` before each text that a spreadsheet would run as a formula."""
    return _csv_of(chunks, kind, columns, without_formulas)


def _csv_of(
    chunks: Lines, kind: JobKind, columns: Columns | None, change: Callable[[pa.Table], pa.Table]
) -> Iterator[bytes]:
    schema = SCHEMAS[kind] if columns is None else columns.schema
    yield _csv(flat(schema.empty_table()), with_names=True)
    for lines in chunks:
        for some in _some(lines):
            yield _csv(change(flat(table_of(some, schema))), with_names=False)


def as_parquet(chunks: Lines, kind: JobKind, columns: Columns | None = None) -> Iterator[bytes]:
    """Parquet, compressed with zstd, with one row group per chunk."""
    schema = SCHEMAS[kind] if columns is None else columns.schema
    written = _Written()
    with parquet.ParquetWriter(written, schema, compression="zstd") as writer:
        for lines in chunks:
            writer.write_table(table_of(lines, schema), row_group_size=len(lines))
            yield written.taken()
    yield written.taken()


def _some(lines: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(lines), SOME_ROWS):
        yield lines[start : start + SOME_ROWS]


def _csv(table: pa.Table, *, with_names: bool) -> bytes:
    written = io.BytesIO()
    arrow_csv.write_csv(table, written, arrow_csv.WriteOptions(include_header=with_names, eol="\r\n"))
    return written.getvalue()


class _Written(io.RawIOBase):
    """A write-only file without seeking. `taken` returns and removes the bytes written so far."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._position += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._position

    def taken(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


WRITERS: Final = {
    "application/x-ndjson": as_ndjson,
    "text/csv": as_csv,
    "application/vnd.apache.parquet": as_parquet,
}
