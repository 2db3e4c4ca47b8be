"""Read CSV files of any size, one record at a time."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from evzone_ml_client.command.outcome import Refused

# The service's own limit of a line.
MAX_CELL_CHARS: Final = 1_000_000

csv.field_size_limit(MAX_CELL_CHARS)


class Record(NamedTuple):
    """The cells of a record, and the number of its first line; the file's first line is 1."""

    line_number: int
    cells: list[str]


def is_csv(input_format: str) -> bool:
    """Whether `input_format` is CSV, compressed or not."""
    return input_format.startswith("csv")


def open_text(file: Path, input_format: str) -> IO[str]:
    """Open a text file of readings, decompressed. Bytes that are not UTF-8 become lone surrogates."""
    opened = gzip.open if input_format.endswith(".gz") else open
    return cast(IO[str], opened(file, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=""))


class _Lines:
    """Iterator over the lines of `text`. `ended` is true once more have been asked for than there are."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        yield from self._text
        self.ended = True


def records(file: Path, input_format: str, delimiter: str = ",") -> Generator[Record, None, None]:
    """The header and the records of a CSV file, without empty lines. Blocks for the disk.

    Raises `Refused` for a file that is not CSV or not whole gzip.
    """
    with open_text(file, input_format) as text:
        lines = _Lines(text)
        reader = csv.reader(lines, delimiter=delimiter)
        line = 1
        try:
            for cells in reader:
                if lines.ended:  # the reader takes the end of the file as the end of the record
                    raise Refused(f'{file}: a quote (") that is opened in line {line} is never closed.')
                if cells:
                    yield Record(line, cells)
                line = reader.line_num + 1
        except (csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise Refused(f"{file}: cannot be read at line {line}: {error}.") from None


def header_of(file: Path, input_format: str) -> list[str]:
    """The header of a CSV file; empty if the file is. Raises `Refused`."""
    with closing(records(file, input_format)) as found:
        first = next(found, None)
    return [] if first is None else first.cells


def lines_of_rows(file: Path, input_format: str, rows: Collection[int]) -> dict[int, int]:
    """The line of each of `rows`, which count from 0 after the header. Raises `Refused`."""
    found: dict[int, int] = {}
    if not rows:
        return found
    last = max(rows)
    with closing(records(file, input_format)) as read:
        for row, record in enumerate(read, start=-1):
            if row in rows:
                found[row] = record.line_number
            if row >= last:
                break
    return found
