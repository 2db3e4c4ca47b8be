"""Schemas of request headers, for `/openapi.json`. Views read the headers themselves."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate


def _header(name: str, description: str, **kwargs: Any) -> fields.String:
    pattern = kwargs.pop("pattern", None)
    metadata = {"description": description} | ({"pattern": pattern} if pattern else {})
    return fields.String(data_key=name, metadata=metadata, **kwargs)


class TenantSchema(Schema):
    """The tenant header, which nearly every request may have."""

    tenant = _header("X-Tenant-ID", "Separates cache, fleet and jobs.", pattern="^[A-Za-z0-9_-]{1,64}$")


class FileHeadersSchema(Schema):
    """Headers of a request with a file."""

    content_encoding = _header(
        "Content-Encoding",
        "`gzip` for a compressed body of any format.",
        validate=validate.OneOf(["gzip", "identity"]),
    )


class BatchHeadersSchema(FileHeadersSchema):
    """Headers of a batch request."""

    prefer = _header(
        "Prefer",
        "`wait=N`: answer with the results if the job ends within N s, at most 30 (RFC 7240).",
    )
    idempotency_key = _header(
        "Idempotency-Key",
        "A repeated request with the same key and body returns the same job.",
        pattern="^[!-~]{1,255}$",
    )


class ResultsHeadersSchema(Schema):
    """Headers of a request for results."""

    accept = _header(
        "Accept",
        "JSON pages, or a stream of all rows that are done.",
        validate=validate.OneOf(
            ["application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.parquet"]
        ),
    )


class EventsHeadersSchema(Schema):
    """Headers of a request for server-sent events."""

    last_event_id = _header(
        "Last-Event-ID", "Sent by a browser that comes back; after `done` there is nothing more (204)."
    )
