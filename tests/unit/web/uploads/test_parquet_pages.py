"""The pages of a Parquet file are counted as pyarrow reads them, whatever its footer says."""

from __future__ import annotations

import io
import random
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from bench.fleet_file import fleet_table
from errors import InvalidReading, MalformedBody
from tests import parquet_bombs
from web.uploads.parquet_pages import Leaf, Page, check_pages, rows_at_once
from web.uploads.parquet_rows import chunks_of_parquet
from web.uploads.upload import MAX_CHUNK_BYTES, Upload

PATHS: Final = ("charger_id", "connector_status", "error_codes", "power")
ROWS: Final = 4_096


def leaves(file: bytes, rows: int = ROWS) -> dict[str, Leaf]:
    source = io.BytesIO(file)
    return check_pages(source, pq.ParquetFile(source).metadata, PATHS, rows)


def rows_of(file: bytes) -> int:
    upload = Upload(io.BytesIO(file), len(file), "")
    return sum(rows for rows, _ in chunks_of_parquet(upload, ROWS))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data_page_version": "2.0", "compression": "snappy"},
        {"use_dictionary": False, "data_page_size": 1 << 30, "compression": "none"},
        {"row_group_size": 3_000, "write_page_checksum": True},
        {"write_page_index": True, "max_rows_per_page": 100},
    ],
)
def test_the_sizes_are_those_of_an_honest_footer(options: dict[str, Any]) -> None:
    file = parquet_bombs.written(fleet_table(20_000), **options)
    metadata = pq.ParquetFile(io.BytesIO(file)).metadata
    found = leaves(file)
    assert found.keys() == {"charger_id", "connector_status", "error_codes.list.element", "power"}
    for index in range(metadata.num_columns):
        columns = [metadata.row_group(n).column(index) for n in range(metadata.num_row_groups)]
        leaf = found.get(columns[0].path_in_schema)
        if leaf is not None:
            # The footer counts the headers too.
            said = sum(column.total_uncompressed_size for column in columns)
            assert 0.2 * said < leaf.total_bytes <= said
    assert rows_of(file) == 20_000


@pytest.mark.parametrize("group_rows", [100, 1_000, 5_000])
def test_row_groups_may_have_any_size(group_rows: int) -> None:
    assert rows_of(parquet_bombs.written(fleet_table(20_000), row_group_size=group_rows)) == 20_000


def test_texts_in_delta_encoding_are_read() -> None:
    table = fleet_table(20_000)
    options = {"use_dictionary": ["connector_status"], "column_encoding": {"charger_id": "DELTA_BYTE_ARRAY"}}
    file = parquet_bombs.written(table, store_schema=False, **options)
    found = leaves(file)
    assert {path for path, leaf in found.items() if leaf.is_delta} == {"charger_id"}
    assert rows_of(file) == 20_000


def test_few_rows_are_read_at_once_where_each_may_repeat_a_page() -> None:
    leaf = Leaf(is_list=False)
    leaf.add(Page(10, 1_000_000, encoding=7), ROWS)
    assert rows_at_once({"charger_id": leaf}, ROWS) == 2 * MAX_CHUNK_BYTES // 1_000_000
    assert rows_at_once({"charger_id": Leaf(is_list=False)}, ROWS) == ROWS


def test_only_the_pages_of_some_rows_are_open() -> None:
    leaf = Leaf(is_list=False)
    for _ in range(100):
        leaf.add(Page(1_000, 7), 2_000)
    assert leaf.open_bytes == 4 * 7  # two whole pages, and parts of two more
    codes = Leaf(is_list=True)
    for _ in range(100):
        codes.add(Page(1_000, 7), 2_000)
    assert codes.open_bytes == 100 * (7 + 16_000)


@pytest.mark.owasp("API4", "sizes of a Parquet file are taken from its pages, not from its footer")
def test_a_footer_that_says_less_is_not_believed() -> None:
    with pytest.raises(RequestEntityTooLarge, match="pages of a few thousand rows"):
        leaves(parquet_bombs.declaring(parquet_bombs.many_codes(20_000_000), 1))


@pytest.mark.owasp("API4", "any damage of a Parquet file is a clear refusal")
def test_no_damage_raises_anything_else() -> None:
    whole = parquet_bombs.written(fleet_table(500), compression="none")
    chance = random.Random(1)
    refused = 0
    for _ in range(1_000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            rows_of(bytes(damaged))
        except (MalformedBody, InvalidReading, RequestEntityTooLarge):
            refused += 1
    assert refused


def test_a_header_that_does_not_end_is_malformed() -> None:
    file = parquet_bombs.many_rows(1)
    start = pq.ParquetFile(io.BytesIO(file)).metadata.row_group(0).column(0).dictionary_page_offset or 4
    for filling in (b"\x15", b"\xff", b"\x1c", b"\x18"):
        with pytest.raises(MalformedBody):
            leaves(file[:start] + filling * 64 + file[start + 64 :])


def test_a_column_before_the_file_is_malformed() -> None:
    def change(footer: parquet_bombs.Struct) -> None:
        for column in parquet_bombs.columns_of(footer):
            column.pop(11, None)
            column[9] = (parquet_bombs.I64, -5)

    file = parquet_bombs.with_footer(parquet_bombs.many_rows(1), change)
    with pytest.raises(MalformedBody):
        leaves(file)


def test_lists_of_codes_may_be_null() -> None:
    table = pa.table({**parquet_bombs.ordinary(3), "error_codes": pa.array([None, [], ["E"]])})
    assert rows_of(parquet_bombs.written(table)) == 3


@pytest.mark.owasp("API4", "a Parquet file of a million pages is not read to its end")
def test_pages_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.uploads.parquet_pages.MAX_PAGES", 20)
    with pytest.raises(RequestEntityTooLarge, match="more than 20 pages"):
        leaves(parquet_bombs.written(fleet_table(2_000), max_rows_per_page=100))
