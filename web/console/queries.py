"""Views: queries whose parameters may be repeated, and the addresses of views that differ in some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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
    try:
        loaded: dict[str, Any] = schema.load(MultiDictProxy(given, schema))
    except ValidationError as error:
        raise InvalidParameter(field_errors({"query": error.messages})) from None
    return loaded


def changed(view: View, without: Iterable[str] = (), **changes: str) -> View:
    """The view with other values, and without the names of `without`."""
    kept = {name: values for name, values in view.items() if name not in without}
    return kept | {name: [value] for name, value in changes.items()}
