"""Files of results, put together from slices that are each complete."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from pyarrow import parquet

COPY_BYTES = 1_048_576


class Output(Protocol):
    """Takes slices in order. `size_bytes` is where a later run may go on; 0 where it cannot."""

    @property
    def size_bytes(self) -> int: ...

    def append(self, slice_: IO[bytes]) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Lines:
    """NDJSON and CSV: slices follow each other; of CSV only the first keeps its header."""

    def __init__(self, file: IO[bytes], *, header: bool, size_bytes: int) -> None:
        self._file = file
        self._header = header
        self.size_bytes = size_bytes

    def append(self, slice_: IO[bytes]) -> None:
        if self._header and self.size_bytes:
            slice_.readline()  # names hold no line breaks
        began = slice_.tell()
        shutil.copyfileobj(slice_, self._file, COPY_BYTES)
        self._file.flush()
        self.size_bytes += slice_.tell() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.flush()


class Parquet:
    """One file of the row groups of all slices. Before its end it is none: nobody can go on with it."""

    size_bytes = 0

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._writer: Any = None

    def append(self, slice_: IO[bytes]) -> None:
        held = parquet.ParquetFile(slice_)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, held.schema_arrow, compression="zstd")
        for number in range(held.num_row_groups):
            self._writer.write_table(held.read_row_group(number))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        self._file.flush()


def output(file: IO[bytes], format_: str, *, size_bytes: int) -> Output:
    """`file` holds the first `size_bytes` of an output, and is written on from there."""
    if format_ == "parquet":
        return Parquet(file)
    return Lines(file, header=format_ == "csv", size_bytes=size_bytes)


def open_part(path: Path, size_bytes: int) -> tuple[IO[bytes], int]:
    """An unfinished output, cut to `size_bytes`, and how many of them are there: all, or none."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    held = size_bytes if file.seek(0, os.SEEK_END) >= size_bytes else 0
    file.truncate(held)
    file.seek(held)
    return file, held
