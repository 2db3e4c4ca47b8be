"""HTTP answers as JSON values: status, headers, and the body decoded by its media type."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any, Final

import httpx
import pyarrow.parquet as pq

NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# Headers whose value says nothing but how long or when.
MEASURED: Final = {"content-length": "<n>", "date": "<date>", "etag": "<etag>"}


def answered(response: httpx.Response) -> dict[str, Any]:
    """Status, headers and body of a complete answer."""
    return {**head(response), "body": body_of(response.headers.get("content-type", ""), response.content)}


def head(response: httpx.Response) -> dict[str, Any]:
    """Status and headers of an answer. A header that stands twice has a list of values."""
    headers: dict[str, Any] = {}
    for name, value in response.headers.multi_items():
        shown = value if value == "0" else MEASURED.get(name, value)
        if name == "allow":  # a set, written in no order
            shown = ", ".join(sorted(shown.split(", ")))
        before = headers.get(name)
        headers[name] = shown if before is None else [before, shown]
    return {"status": response.status_code, "headers": headers}


def body_of(content_type: str, content: bytes) -> Any:
    """The body as a JSON value; a text that no other format knows stays a text."""
    media_type = content_type.partition(";")[0]
    if not content:
        return None
    if media_type == "application/x-ndjson":
        return [json.loads(line) for line in content.splitlines()]
    if media_type.endswith("json"):
        return json.loads(content)
    if media_type == "text/csv":
        return csv_of(content)
    if media_type == "application/vnd.apache.parquet":
        return parquet_of(content)
    if media_type == "text/event-stream":
        return events_of(content)
    return content.decode()


def csv_of(content: bytes) -> dict[str, Any]:
    """Line ends, columns and rows of a CSV file. Cells that are numbers are numbers here."""
    text = content.decode()
    columns, *rows = csv.reader(io.StringIO(text, newline=""))
    return {
        "line_end": "CRLF" if "\r\n" in text else "LF",
        "columns": columns,
        "rows": [dict(zip(columns, map(cell, row), strict=True)) for row in rows],
    }


def cell(text: str) -> Any:
    """A number, what a cell holds as JSON, or the text itself."""
    if NUMBER.fullmatch(text):
        return float(text)
    return json.loads(text) if text.startswith(("[", "{")) else text


def parquet_of(content: bytes) -> dict[str, Any]:
    """Schema, compression and rows of a Parquet file."""
    with pq.ParquetFile(io.BytesIO(content)) as file:
        rows = file.read().to_pylist()
        groups = file.metadata.num_row_groups
        return {
            "schema": {field.name: str(field.type) for field in file.schema_arrow},
            "row_groups": groups,
            "compression": file.metadata.row_group(0).column(0).compression if groups else None,
            "rows": json.loads(json.dumps(rows, default=_iso)),
        }


def events_of(content: bytes) -> list[dict[str, Any]]:
    """Server-sent events: each a mapping of its fields, `data` decoded."""
    found = []
    for block in content.decode().split("\n\n"):
        if block:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append(
                {name: json.loads(text) if name == "data" else text for name, text in fields.items()}
            )
    return found


def _iso(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")
