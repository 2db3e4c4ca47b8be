"""Load the query or the form of a page by a schema of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from marshmallow import Schema, ValidationError

from errors import InvalidParameter
from readings.parsing import field_errors
from web.http.messages import current_request


def loaded_query(schema: Schema, **defaults: str) -> dict[str, Any]:
    """The query of this request. Empty values count as missing, because forms send them for empty fields.

    `defaults` are for missing values. Raises `InvalidParameter`.
    """
    given = {name: value for name, value in current_request().args.items() if value.strip()}
    return loaded(schema, {**defaults, **given})


def loaded(schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as `schema` loads them. Raises `InvalidParameter` that names each wrong one."""
    try:
        found: dict[str, Any] = schema.load(values)
    except ValidationError as error:
        raise InvalidParameter(field_errors(error.messages)) from None
    return found


def address_with(cursor: int | str | None) -> str:
    """The address of this page with another cursor; None is the first page."""
    request = current_request()
    query = {
        name: value
        for name, value in request.args.items()
        if value.strip() and name not in ("cursor", "done")
    }
    if cursor is not None:
        query["cursor"] = str(cursor)
    return f"{request.path}?{urlencode(query)}".rstrip("?")
