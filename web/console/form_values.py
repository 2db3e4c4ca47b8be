"""Check queries and forms of pages with the schemas of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from marshmallow import Schema, ValidationError

from errors import InvalidParameter
from readings.parsing import field_errors


class Paging(NamedTuple):
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


def checked(schema: Schema, values: Mapping[str, str]) -> dict[str, Any]:
    """Load the values of a query or form by `schema`. Fields that are left empty count as not given.

    Raises `InvalidParameter` that names each wrong field.
    """
    try:
        loaded: dict[str, Any] = schema.load({name: value for name, value in values.items() if value != ""})
    except ValidationError as error:
        raise InvalidParameter(field_errors(error.messages)) from None
    return loaded
