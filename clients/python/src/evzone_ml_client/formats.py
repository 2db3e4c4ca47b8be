"""File formats of readings (uploads) and results (downloads)."""

from __future__ import annotations

from os import PathLike
from pathlib import PurePath
from typing import Final, Literal, TypeAlias, cast

StrPath: TypeAlias = str | PathLike[str]
ResultsFormat: TypeAlias = Literal["ndjson", "csv", "parquet"]

# Media types of readings, by extension.
MEDIA_TYPES: Final = {
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
}
# Formats of results. JSON is read in pages (`job_results`), not as a file.
RESULTS: Final = ("ndjson", "csv", "parquet")


def upload_headers(file: PurePath, file_format: str | None = None) -> dict[str, str]:
    """Return the headers for a file of readings, by `file_format` (`csv`, `csv.gz`) or else by its name.

    Raises `ValueError` for an unsupported format.
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
    """Return the format of a results file by its extension. Raises `ValueError` for an unsupported one."""
    name = {".jsonl": "ndjson"}.get(suffix := file.suffix.lower(), suffix[1:])
    if name not in RESULTS:
        raise ValueError(f"{file.name}: must end in one of .ndjson, .jsonl, .csv, .parquet")
    return cast(ResultsFormat, name)
