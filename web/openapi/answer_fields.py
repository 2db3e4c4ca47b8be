"""Constructors of required response fields with a description, for the schemas of this package."""

from __future__ import annotations

from typing import Any

from marshmallow import fields


def time(description: str, *, allow_none: bool = False) -> fields.String:
    """A required date and time in RFC 3339."""
    return fields.String(
        required=True, allow_none=allow_none, metadata={"description": description, "format": "date-time"}
    )


def text(description: str, *, required: bool = True, **kwargs: Any) -> fields.String:
    """A text, required by default."""
    return fields.String(required=required, metadata={"description": description}, **kwargs)


def number(description: str, **kwargs: Any) -> fields.Float:
    """A required number."""
    return fields.Float(required=True, metadata={"description": description}, **kwargs)
