"""What JSON Schema cannot say about a request, for Schemathesis: what it makes is bent to it here."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import schemathesis
from hypothesis import strategies
from pyarrow import parquet

PAST = "2026-01-01T00:00:00Z"
PAST_S = 1_767_225_600
MAX_PAGE = 1000
MAX_ROW = 2**31 - 1
MAX_URL_CHARS = 2_000
# No name below `example` is ever resolved.
NOBODY_THERE = "https://hooks.example/"
MOMENTS = ("timestamp", "last_maintenance", "occurred_at", "created_after", "installed_at")


def parquet_file() -> bytes:
    written = io.BytesIO()
    parquet.write_table(
        pa.Table.from_pylist([{"charger_id": "EVZ-1", "connector_status": "CHARGING"}]), written
    )
    return written.getvalue()


# The formats of files, which are strings for JSON Schema. The CSV is one of readings and one of attributes.
FILES: Final = {
    "application/x-ndjson": b'{"charger_id":"EVZ-1","connector_status":"CHARGING"}\n{}\n',
    "text/csv": b"charger_id,connector_status,temperature,vendor\r\n"
    b"EVZ-1,CHARGING,41.5,ABB\r\nEVZ-2,SINGING,,\r\n",
    "application/vnd.apache.parquet": parquet_file(),
}
for media_type, file in FILES.items():
    schemathesis.openapi.media_type(media_type, strategies.just(file))


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> schemathesis.Case[Any]:
    """No body here is compressed, whatever its header says, and a text of a URL's length is one."""
    if case.headers and case.headers.get("Content-Encoding") == "gzip":
        del case.headers["Content-Encoding"]
    if isinstance(case.body, dict):
        url = case.body.get("url")
        if isinstance(url, str) and 0 < len(url) <= MAX_URL_CHARS:
            case.body["url"] = NOBODY_THERE
    return case


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """The envelope's charger id is the reading's, and no moment lies before 1970 or in the future.

    The end of a muting is tomorrow.
    """
    if not isinstance(body, dict):
        return body
    metrics = body.get("metrics")
    if isinstance(metrics, dict):
        if isinstance(metrics.get("charger_id"), str) and isinstance(body.get("charger_id"), str):
            metrics["charger_id"] = body["charger_id"]
        bend_moments(metrics)
    bend_moments(body)
    if isinstance(body.get("until"), str) and is_moment(body["until"]):
        body["until"] = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    return body


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: Any) -> Any:
    """No moment before 1970 here either, fields that each row has, and no page of JSON beyond its limit."""
    if isinstance(query, dict):
        bend_moments(query)
        if isinstance(query.get("columns"), str):
            query["columns"] = "row,charger_id"
        limit = query.get("limit")
        if isinstance(limit, int) and not isinstance(limit, bool) and MAX_PAGE < limit <= MAX_ROW:
            query["limit"] = MAX_PAGE
    return query


def bend_moments(fields: dict[str, Any]) -> None:
    """Only what is a moment is changed: what is none must stay wrong, for it has to be refused."""
    for name in MOMENTS:
        value = fields.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > PAST_S:
            fields[name] = PAST_S
        elif isinstance(value, str) and is_moment(value):
            fields[name] = PAST
        elif name == "installed_at" and isinstance(value, str) and is_date(value):
            fields[name] = PAST[:10]


def is_date(text: str) -> bool:
    """An RFC 3339 full date."""
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


def is_moment(text: str) -> bool:
    """An RFC 3339 date and time; a leap second, which Python has none of, counts too."""
    try:
        datetime.fromisoformat(text.upper().replace(":60", ":59"))
    except ValueError:
        return False
    return "T" in text.upper()
