"""Formats of files, by extension or by option."""

from __future__ import annotations

import pytest

from evzone_ml_client.command.formats import input_format, output_format
from evzone_ml_client.command.outcome import Refused


@pytest.mark.parametrize(
    ("file", "named", "expected"),
    [
        ("fleet.csv", None, "csv"),
        ("a/fleet.2026.CSV.GZ", None, "csv.gz"),
        ("fleet.jsonl", None, "jsonl"),
        ("-", "parquet", "parquet"),
        ("fleet.txt", "csv.gz", "csv.gz"),
    ],
)
def test_the_format_of_a_file_is_known_by_extension_or_name(
    file: str, named: str | None, expected: str
) -> None:
    assert input_format(file, named) == expected


def test_an_excel_workbook_is_to_be_saved_as_csv() -> None:
    with pytest.raises(Refused, match="Save the sheet as CSV UTF-8, or name --input-format"):
        input_format("Fleet.XLSX", None)


@pytest.mark.parametrize("file", ["fleet", "fleet.xlsx", "fleet.gz", "-", ".csv.d/fleet"])
def test_other_files_are_refused(file: str) -> None:
    with pytest.raises(Refused, match="--input-format"):
        input_format(file, None)
    with pytest.raises(Refused, match="--output-format"):
        output_format(file, None)
