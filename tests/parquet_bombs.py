"""Parquet files that cost far more than their size, for tests.

The format is Apache Parquet's `parquet.thrift`, in Thrift's compact protocol. pyarrow writes honest files.
`with_footer` changes what a footer says, and `with_page_header` what a page's header says.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# A struct: field id -> (type, value). A list: (type of its elements, elements).
Struct = dict[int, tuple[int, Any]]
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


class _Reader:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def number(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def value(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind == BYTE:
            self.at += 1
            return self.data[self.at - 1]
        if kind in (I16, I32, I64):
            return self.number()
        if kind == DOUBLE:
            self.at += 8
            return self.data[self.at - 8 : self.at]
        if kind == BINARY:
            size = self.varint()
            self.at += size
            return self.data[self.at - size : self.at]
        if kind in (LIST, SET):
            head = self.data[self.at]
            self.at += 1
            size = head >> 4 if head >> 4 != 15 else self.varint()
            of = head & 15
            if of in (TRUE, FALSE):
                return of, [self.value(BYTE) for _ in range(size)]
            return of, [self.value(of) for _ in range(size)]
        assert kind == STRUCT, kind
        return self.struct()

    def struct(self) -> Struct:
        found: Struct = {}
        last = 0
        while head := self.data[self.at]:
            self.at += 1
            last = last + (head >> 4) if head >> 4 else self.number()
            found[last] = (head & 15, self.value(head & 15))
        self.at += 1
        return found


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _encoded(kind: int, value: Any) -> bytes:
    if kind in (TRUE, FALSE):
        return b""
    if kind == BYTE:
        return bytes([value])
    if kind in (I16, I32, I64):
        return _varint(value * 2 if value >= 0 else -value * 2 - 1)
    if kind == DOUBLE:
        return bytes(value)
    if kind == BINARY:
        return _varint(len(value)) + bytes(value)
    if kind in (LIST, SET):
        of, elements = value
        head = (
            bytes([len(elements) << 4 | of])
            if len(elements) < 15
            else bytes([0xF0 | of]) + _varint(len(elements))
        )
        inner = BYTE if of in (TRUE, FALSE) else of
        return head + b"".join(_encoded(inner, each) for each in elements)
    return _struct(value)


def _struct(fields: Struct) -> bytes:
    out, last = [], 0
    for number, (kind, value) in sorted(fields.items()):
        step = number - last
        out.append(bytes([step << 4 | kind]) if step < 16 else bytes([kind]) + _encoded(I16, number))
        out.append(_encoded(kind, value))
        last = number
    return b"".join([*out, b"\0"])


def with_footer(file: bytes, change: Callable[[Struct], None]) -> bytes:
    """The file with a changed `FileMetaData`."""
    (size,) = struct.unpack("<I", file[-8:-4])
    start = len(file) - 8 - size
    footer = _Reader(file, start).struct()
    change(footer)
    encoded = _struct(footer)
    return file[:start] + encoded + struct.pack("<I", len(encoded)) + b"PAR1"


def columns_of(footer: Struct, group: int = 0) -> list[Struct]:
    """The `ColumnMetaData` of each column of a row group."""
    row_group = footer[4][1][1][group]
    return [chunk[3][1] for chunk in row_group[1][1][1]]


def page_header(file: bytes, at: int) -> tuple[Struct, int]:
    """The `PageHeader` at a position, and where its data begin."""
    reader = _Reader(file, at)
    return reader.struct(), reader.at


def declaring(file: bytes, sizes: int) -> bytes:
    """The file with a footer that says all columns have `sizes` bytes uncompressed."""

    def change(footer: Struct) -> None:
        for column in columns_of(footer):
            column[6] = (I64, sizes)
        for group in footer[4][1][1]:
            group[2] = (I64, sizes)

    return with_footer(file, change)


def written(table: pa.Table, **options: Any) -> bytes:
    """The file that pyarrow writes."""
    file = io.BytesIO()
    pq.write_table(table, file, **{"compression": "zstd", "row_group_size": 1 << 30, **options})
    return file.getvalue()


def ordinary(rows: int = 1) -> dict[str, Any]:
    """The required columns, with the same text in each row."""
    zero = pa.array(memoryview(bytes(4 * rows)).cast("i")) if rows else pa.array([], pa.int32())
    return {
        "charger_id": pa.DictionaryArray.from_arrays(zero, pa.array(["EVZ-1"])),
        "connector_status": pa.DictionaryArray.from_arrays(zero, pa.array(["CHARGING"])),
    }


def many_rows(rows: int, **options: Any) -> bytes:
    """A few kilobytes with any number of equal rows."""
    return written(pa.table(ordinary(rows)), **options)


def many_codes(codes: int) -> bytes:
    """A few kilobytes with one row of any number of equal error codes."""
    inner = pa.DictionaryArray.from_arrays(pa.array(memoryview(bytes(4 * codes)).cast("i")), pa.array(["E1"]))
    column = pa.ListArray.from_arrays(pa.array([0, codes], pa.int32()), inner)
    return written(pa.table({**ordinary(), "error_codes": column}))


def large_text(size: int, column: str = "metadata") -> bytes:
    """A small file with one text of any length, and a footer that says it has none."""
    texts = {**ordinary(), column: pa.array(["x" * size])}
    return declaring(written(pa.table(texts), use_dictionary=False, write_statistics=False), 1_000)


def long_ids(encoding: str) -> bytes:
    """4,096 rows with the same id of a megabyte, in a file that is large because of another column."""
    rows, packs = 4_096, encoding == "RLE_DICTIONARY"
    table = pa.table(
        {
            "connector_status": ordinary(rows)["connector_status"],
            "charger_id": pa.array(["x" * 1_000_000] * rows),
            "other": pa.array([number.to_bytes(4, "big") * 300 for number in range(rows)]),
        }
    )
    options = {} if packs else {"column_encoding": {"charger_id": encoding}}
    file = written(
        table,
        use_dictionary=["connector_status", *(["charger_id"] if packs else [])],
        dictionary_pagesize_limit=1 << 24,
        write_statistics=False,
        store_schema=False,
        compression={"charger_id": "zstd", "connector_status": "zstd", "other": "none"},
        **options,
    )
    return declaring(file, 1_000)


def many_columns(columns: int) -> bytes:
    """One row with any number of unknown columns."""
    return written(pa.table({**ordinary(), **{f"c{number}": pa.array([1]) for number in range(columns)}}))


def many_groups(groups: int) -> bytes:
    """A file with any number of row groups of one row."""
    file = io.BytesIO()
    table = pa.table({name: column.dictionary_decode() for name, column in ordinary().items()})
    with pq.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)

    def change(footer: Struct) -> None:
        of, found = footer[4][1]
        footer[4] = (LIST, (of, found * groups))
        footer[3] = (I64, groups)

    return with_footer(file.getvalue(), change)


def deep_schema(levels: int) -> bytes:
    """A file whose schema is nested any number of levels deep."""
    file = written(pa.table(ordinary()), store_schema=False)

    def change(footer: Struct) -> None:
        of, elements = footer[2][1]
        root = elements[0]
        root[5] = (I32, root[5][1] + 1)
        group = {3: (I32, 1), 4: (BINARY, b"metadata"), 5: (I32, 1)}
        leaf = {1: (I32, 1), 3: (I32, 1), 4: (BINARY, b"leaf")}
        footer[2] = (LIST, (of, [*elements, *([group] * levels), leaf]))

    return with_footer(file, change)


def large_footer(size: int) -> bytes:
    """A file with metadata of any size in its footer."""

    def change(footer: Struct) -> None:
        note: Struct = {1: (BINARY, b"note"), 2: (BINARY, b"x" * size)}
        footer[5] = (LIST, (STRUCT, [note]))

    return with_footer(written(pa.table(ordinary()), store_schema=False), change)
