"""Check what a Parquet file holds by its page headers, before pyarrow reads any page.

pyarrow believes a file: it decompresses a page of two gigabytes, and a row of a hundred million error codes.
Both fit into a kilobyte. The sizes in the footer may be wrong, those of the page headers are what is read.
The format is `parquet.thrift` in Thrift's compact protocol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from werkzeug.exceptions import RequestEntityTooLarge

from errors import MalformedBody
from web.uploads.upload import MAX_CHUNK_BYTES

if TYPE_CHECKING:
    import pyarrow.parquet as pq

# Usual writers make pages of a megabyte. Some make one page of each column of a row group.
MAX_OPEN_BYTES: Final = 256_000_000
MAX_PAGES: Final = 100_000
# Of a row whose list has many values, all are read at once, each with its levels.
LIST_VALUE_BYTES: Final = 16
# Read in this order until a header is complete. Headers hold the least and the greatest text of their page.
HEADER_BYTES: Final = (512, 65_536, 4_000_000)

DATA_PAGE, _, DICTIONARY_PAGE, DATA_PAGE_V2 = range(4)
# A value of this encoding repeats the beginning of the one before it: a page may expand without a limit.
DELTA_BYTE_ARRAY: Final = 7

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


class Page(NamedTuple):
    """One page: its number of values (0 for a dictionary), and its size in bytes, uncompressed."""

    values: int
    size_bytes: int
    encoding: int | None = None
    is_dictionary: bool = False


@dataclass(slots=True)
class Leaf:
    """The pages of one column of plain values. Sizes are in bytes, uncompressed.

    `open_bytes` is the most that is read at once, `page_bytes` and `dictionary_bytes` are the largest ones.
    """

    is_list: bool
    open_bytes: int = 0
    page_bytes: int = 0
    total_bytes: int = 0
    dictionary_bytes: int = 0
    is_delta: bool = False
    _open_pages: deque[Page] = field(default_factory=deque)
    _open_bytes: int = 0
    _open_values: int = 0

    def add(self, page: Page, rows: int) -> None:
        """Count the next page. `rows` are read at once, from as many pages as hold them."""
        self.page_bytes = max(self.page_bytes, page.size_bytes)
        self.total_bytes += page.size_bytes
        if page.is_dictionary:
            self.dictionary_bytes = max(self.dictionary_bytes, page.size_bytes)
        self.is_delta |= page.encoding == DELTA_BYTE_ARRAY
        self._open_pages.append(page)
        self._open_bytes += page.size_bytes + (LIST_VALUE_BYTES * page.values if self.is_list else 0)
        self._open_values += page.values
        # Rows may begin in the first open page and end in the last one. A row may be a whole list.
        while not self.is_list and self._open_values - self._open_pages[0].values - page.values > rows:
            first = self._open_pages.popleft()
            self._open_bytes -= first.size_bytes
            self._open_values -= first.values
        self.open_bytes = max(self.open_bytes, self._open_bytes)


def check_pages(
    file: IO[bytes], metadata: pq.FileMetaData, paths: Collection[str], rows: int
) -> dict[str, Leaf]:
    """Read the headers of all pages of the columns `paths`, of which `rows` rows are read at once.

    Returns:
        The leaves of these columns by their path.

    Raises:
        MalformedBody: a page header cannot be read.
        RequestEntityTooLarge: a limit of this module is passed (werkzeug's 413).
    """
    schema = metadata.schema
    leaves: dict[int, Leaf] = {}
    for index in range(len(schema)):
        path = schema.column(index).path
        if any(path == wanted or path.startswith(f"{wanted}.") for wanted in paths):
            leaves[index] = Leaf(is_list=schema.column(index).max_repetition_level > 0)
    pages_left = MAX_PAGES
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index, leaf in leaves.items():
            for page in _pages(file, group.column(index)):
                leaf.add(page, rows)
                pages_left -= 1
                if pages_left < 0:
                    raise RequestEntityTooLarge(f"The file has more than {MAX_PAGES} pages.")
    found = {schema.column(index).path: leaf for index, leaf in leaves.items()}
    if sum(leaf.open_bytes for leaf in leaves.values()) > MAX_OPEN_BYTES:
        raise RequestEntityTooLarge(
            f"The pages of a few thousand rows hold more than {MAX_OPEN_BYTES} bytes. "
            "Write smaller pages or row groups."
        )
    return found


def rows_at_once(leaves: dict[str, Leaf], chunk_rows: int) -> int:
    """The number of rows to read at once: fewer where each may repeat a whole page."""
    largest = max((leaf.page_bytes for leaf in leaves.values() if leaf.is_delta), default=0)
    return max(1, min(chunk_rows, 2 * MAX_CHUNK_BYTES // largest)) if largest else chunk_rows


def _pages(file: IO[bytes], column: pq.ColumnChunkMetaData) -> Iterator[Page]:
    """The pages of a column of a row group, in the order in which pyarrow reads them."""
    at = column.data_page_offset
    if at < 0:
        raise _malformed("a column begins before the file")
    if column.has_dictionary_page and 0 < (column.dictionary_page_offset or 0) < at:
        at = column.dictionary_page_offset
    end = at + column.total_compressed_size
    seen = 0
    while seen < column.num_values and at < end:
        header, at = _header(file, at)
        kind, size_bytes, packed_bytes = (_whole(header.get(number)) for number in (1, 2, 3))
        at += packed_bytes
        if at > end:
            raise _malformed("a page is longer than its column")
        if kind == DICTIONARY_PAGE:
            yield Page(0, size_bytes, is_dictionary=True)
        elif kind in (DATA_PAGE, DATA_PAGE_V2):
            about = header.get(5 if kind == DATA_PAGE else 8)
            if not isinstance(about, dict):
                raise _malformed("a page header is not complete")
            values = _whole(about.get(1))
            seen += values
            yield Page(values, size_bytes, about.get(2 if kind == DATA_PAGE else 4))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise _malformed("a page header is not complete")
    return value


def _malformed(detail: str) -> MalformedBody:
    return MalformedBody(f"The body is not Parquet: {detail}.")


def _header(file: IO[bytes], at: int) -> tuple[dict[int, Any], int]:
    """The numbers and structures of a page header by their field, and the position after it."""
    for size in HEADER_BYTES:
        file.seek(at)
        data = file.read(size)
        try:
            header, length = _struct(data, 0, 0)
        except IndexError:
            if len(data) < size:
                break
            continue
        return header, at + length
    raise _malformed("a page header does not end")


# Page headers have structures within a structure. Deeper ones are no page headers.
_MAX_LEVELS: Final = 4


def _struct(data: bytes, at: int, level: int) -> tuple[dict[int, Any], int]:
    """The fields of a structure and the position after it. Raises `IndexError` at the end of `data`."""
    if level > _MAX_LEVELS:
        raise _malformed("a page header is nested too deeply")
    fields: dict[int, Any] = {}
    last = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            last += head >> 4
        else:
            last, at = _number(data, at)
        fields[last], at = _value(data, at, head & 15, level)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, level: int) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if kind in (_I16, _I32, _I64):
        return _number(data, at)
    if kind == _STRUCT:
        return _struct(data, at, level + 1)
    skip = {_BYTE: 1, _DOUBLE: 8}.get(kind)
    if skip is None:
        if kind != _BINARY:
            raise _malformed("a page header has a field of an unknown type")
        skip, at = _varint(data, at)
    if at + skip > len(data):
        raise IndexError
    return None, at + skip


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise _malformed("a page header has a number of more than 64 bits")


def _number(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
