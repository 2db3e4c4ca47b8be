"""Formats of files: readings that are sent, and results that are fetched."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final, Literal, TypeAlias, cast

ResultsFormat: TypeAlias = Literal["ndjson", "csv", "parquet"]

# Of readings, by extension.
MEDIA_TYPES: Final = {
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
}
# Of results. JSON comes in pages (`job_results`), so that no file of it is asked for.
RESULTS: Final = ("ndjson", "csv", "parquet")


def upload_headers(file: PurePath, file_format: str | None = None) -> dict[str, str]:
    """Headers for a file of readings, by `file_format` (like `csv` or `csv.gz`), else by its name.

    Raises `ValueError` for a format that the service does not read.
    """
    name = file if file_format is None else PurePath(f"readings.{file_format}")
    suffixes = [suffix.lower() for suffix in name.suffixes]
    encoding = {"Content-Encoding": "gzip"} if suffixes[-1:] == [".gz"] else {}
    if encoding:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in MEDIA_TYPES:
        raise ValueError(f"{name.name}: must end in one of {', '.join(MEDIA_TYPES)}, each also with .gz")
    return {"Content-Type": MEDIA_TYPES[suffixes[-1]], **encoding}


def results_format(file: PurePath) -> ResultsFormat:
    """The format of a file of results by its name. Raises `ValueError` for one that is not written."""
    name = {".jsonl": "ndjson"}.get(suffix := file.suffix.lower(), suffix[1:])
    if name not in RESULTS:
        raise ValueError(f"{file.name}: must end in one of .ndjson, .jsonl, .csv, .parquet")
    return cast(ResultsFormat, name)
