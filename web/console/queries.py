"""Queries and forms by the API's schemas, the addresses of views and of other pages of a list.

A view is a query whose parameters may be repeated. Empty values count as missing, because forms send them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from marshmallow import Schema, ValidationError, fields
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import MultiDict

from errors import InvalidParameter
from readings.parsing import field_errors
from web.http.messages import current_request

# Names and values of an address, as `url_for` takes them.
View = dict[str, list[str]]


def view_of(schema: Schema) -> View:
    """The parameters of the present address that the schema knows, without empty ones, in its order.

    Of a parameter that is no list the first value counts, as in the API.
    """
    given, found = current_request().args, {}
    for name, field in schema.fields.items():
        values = [text for each in given.getlist(name) if (text := each.strip())]
        if values:
            found[name] = list(dict.fromkeys(values)) if isinstance(field, fields.List) else values[:1]
    return found


def has_empty(schema: Schema) -> bool:
    """Whether the present address has empty parameters, as a browser writes them for a form."""
    given = current_request().args
    return any(not each.strip() for name in schema.fields for each in given.getlist(name))


def load_view(schema: Schema, view: View, defaults: Mapping[str, str]) -> dict[str, Any]:
    """The loaded parameters. Raises `InvalidParameter` that names each wrong one."""
    given: MultiDict[str, str] = MultiDict({name: [value] for name, value in defaults.items()} | view)
    return loaded(schema, MultiDictProxy(given, schema))


def loaded_query(schema: Schema, **defaults: str) -> dict[str, Any]:
    """The query of this request, with `defaults` for missing values. Raises `InvalidParameter`."""
    return load_view(schema, view_of(schema), defaults)


def loaded(schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as `schema` loads them. Raises `InvalidParameter` that names each wrong one."""
    try:
        found: dict[str, Any] = schema.load(values)
    except ValidationError as error:
        raise InvalidParameter(field_errors(error.messages)) from None
    return found


def changed(view: View, without: Iterable[str] = (), **changes: str) -> View:
    """The view with other values, and without the names of `without`."""
    kept = {name: values for name, values in view.items() if name not in without}
    return kept | {name: [value] for name, value in changes.items()}


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


class ListPage(NamedTuple):
    """A page of a list: the number of items before it, its most items, and the items of all pages."""

    offset: int
    limit: int
    total: int

    @property
    def previous(self) -> int | None:
        """The cursor of the page before; None on the first."""
        return max(0, self.offset - self.limit) if self.offset else None

    @property
    def following(self) -> int | None:
        """The cursor of the next page; None on the last."""
        return self.offset + self.limit if self.offset + self.limit < self.total else None
