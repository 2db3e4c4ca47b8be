"""Rows that hold far more than a reading: what is dropped early costs little, and the row is refused."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from errors import InvalidReading
from readings import arrow, rows
from readings.reading import MAX_ERROR_CODES, Reading
from readings.refused import Refused

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)


@pytest.mark.owasp("API4", "a row with a million error codes becomes no million objects")
@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_a_list_of_a_million_codes_is_refused_by_name(kind: type) -> None:
    codes = pa.array([["E1"] * 1_000_000, ["E1"] * MAX_ERROR_CODES, None], kind(pa.string()))
    ids = [f"EVZ-{number}" for number in range(3)]
    table = pa.table({"charger_id": ids, "connector_status": ["CHARGING"] * 3, "error_codes": codes})
    tracemalloc.start()
    refused, full, none = arrow.from_table(table, now=NOW)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(refused, Refused)
    assert refused.charger_id == "EVZ-0"
    assert isinstance(refused.error, InvalidReading)
    assert [error.pointer for error in refused.error.errors] == ["/error_codes"]
    assert isinstance(full, Reading)
    assert full.error_codes == ("E1",) * MAX_ERROR_CODES
    assert isinstance(none, Reading)
    assert peak_bytes < 5_000_000


@pytest.mark.owasp("API4", "cells of a hundred thousand unknown columns are dropped one row at a time")
def test_cells_of_unknown_columns_are_dropped_row_by_row() -> None:
    columns = 20_000
    header = "charger_id," + ",".join(f"c{number}" for number in range(columns)) + ",connector_status\n"
    row = "EVZ-1," + ",".join(f"x{number % 1000:04}" for number in range(columns)) + ",CHARGING\n"
    short = "EVZ-2,CHARGING\n"
    data = (header + row * 100 + short + row).encode()
    tracemalloc.start()
    found = rows.from_csv(data, now=NOW)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [isinstance(each, Reading) for each in found] == [*[True] * 100, False, True]
    # A list of all cells of all rows held 120 MB.
    assert peak_bytes < 6 * len(data)
