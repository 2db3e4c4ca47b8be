"""Of metadata in columns of its own only the part that is read goes into a job."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from errors import InvalidReading
from readings.reading import Reading
from readings.refused import Refused
from readings.rows import from_arrow
from web.uploads.parquet_rows import chunks_of_parquet
from web.uploads.upload import Upload


def chunk_of(metadata: pa.Array) -> bytes:
    columns = {"charger_id": ["A"] * len(metadata), "connector_status": ["CHARGING"] * len(metadata)}
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns | {"metadata": metadata}), sink)
    size_bytes = sink.tell()
    sink.seek(0)
    ((_, data),) = chunks_of_parquet(Upload(sink, size_bytes, ""), 100)
    return data


def nested(levels: int) -> pa.Array:
    kind: pa.DataType = pa.int64()
    value: Any = 1
    for _ in range(levels):
        kind, value = pa.struct([("a", kind)]), {"a": value}
    return pa.array([None, value], kind)


def test_costs_are_kept_and_the_rest_is_not_stored() -> None:
    costs, note = {"visit": 90, "currency": "EUR"}, "a note that nobody reads"
    data = chunk_of(pa.array([{"costs": costs, "note": note, "site": {"city": "Berlin"}}, None]))
    assert note.encode() not in data
    first, second = from_arrow(data, now=datetime.now(UTC))
    assert isinstance(first, Reading)
    assert isinstance(second, Reading)
    assert (first.metadata, second.metadata) == ({"costs": costs}, {})


def test_metadata_without_costs_is_not_stored() -> None:
    (row,) = from_arrow(data := chunk_of(pa.array([{"note": "a note"}])), now=datetime.now(UTC))
    assert isinstance(row, Reading)
    assert b"a note" not in data


@pytest.mark.parametrize("levels", [33, 62])
def test_metadata_that_is_too_deep_is_its_rows_error(levels: int) -> None:
    first, second = from_arrow(chunk_of(nested(levels)), now=datetime.now(UTC))
    assert isinstance(first, Reading)
    assert isinstance(second, Refused)
    assert isinstance(second.error, InvalidReading)
    assert [each.pointer for each in second.error.errors] == ["/metadata"]


def test_a_column_that_arrow_cannot_pass_on_is_refused_by_name() -> None:
    with pytest.raises(InvalidReading, match="/metadata"):
        chunk_of(nested(63))
