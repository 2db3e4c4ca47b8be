"""Write the results of jobs as NDJSON, CSV and Parquet, chunk by chunk."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from tasks.jobs.job_store import JobKind, Lines
from web.downloads.result_tables import SCHEMAS, flat, table_of

# Rows per written piece: the buffers on the way to the client stay small compared with a chunk.
SOME_ROWS: Final = 512


def as_ndjson(chunks: Lines, kind: JobKind) -> Iterator[bytes]:
    """NDJSON: one result per line, as stored. `kind` is not used."""
    for lines in chunks:
        for some in _some(lines):
            yield b"\n".join([*some, b""])


def as_csv(chunks: Lines, kind: JobKind) -> Iterator[bytes]:
    """CSV by RFC 4180. The header is written even without rows."""
    header = flat(SCHEMAS[kind].empty_table())
    yield _csv(header, with_names=True)
    for lines in chunks:
        for some in _some(lines):
            yield _csv(flat(table_of(some, kind)), with_names=False)


def as_parquet(chunks: Lines, kind: JobKind) -> Iterator[bytes]:
    """Parquet, compressed with zstd, with one row group per chunk."""
    written = _Written()
    with parquet.ParquetWriter(written, SCHEMAS[kind], compression="zstd") as writer:
        for lines in chunks:
            writer.write_table(table_of(lines, kind), row_group_size=len(lines))
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
