"""File formats by extension, and the media types by which the service knows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from batch.outcome import Refused

MEDIA_TYPES: Final = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
# JSON comes in pages; a file of results is one of these.
OUTPUTS: Final = ("ndjson", "csv", "parquet")
_SYNONYMS: Final = {"jsonl": "ndjson"}
STDIO: Final = "-"


@dataclass(frozen=True, slots=True)
class InputFormat:
    """How a file is sent. `gzipped`: as it is, with Content-Encoding."""

    name: str
    gzipped: bool

    def headers(self) -> dict[str, str]:
        encoding = {"Content-Encoding": "gzip"} if self.gzipped else {}
        return {"Content-Type": MEDIA_TYPES[self.name], **encoding}


def input_format(file: str, named: str | None) -> InputFormat:
    """By `named` (like `csv` or `csv.gz`), else by the file's extension. Raises `Refused` for others."""
    extensions = _extensions(f".{named}" if named else file)
    gzipped = extensions[-1:] == ["gz"]
    name = (extensions[:-1] if gzipped else extensions)[-1:]
    if not name or name[0] not in MEDIA_TYPES:
        raise Refused(f"What is {file}? Name --input-format: {', '.join(MEDIA_TYPES)}, each also with .gz.")
    return InputFormat(name[0], gzipped)


def output_format(file: str, named: str | None) -> str:
    """Of a file of results. Raises `Refused` for what the service does not write."""
    extensions = _extensions(f".{named}" if named else file)
    if not extensions or extensions[-1] not in OUTPUTS:
        raise Refused(f"How is {file} to be written? Name --output-format: {', '.join(OUTPUTS)}.")
    return extensions[-1]


def _extensions(file: str) -> list[str]:
    suffixes = PurePath(f"x{file}" if file.startswith(".") else file).suffixes
    return [_SYNONYMS.get(suffix[1:].lower(), suffix[1:].lower()) for suffix in suffixes]
