"""Required fields of answers, each with its description, as the schemas beside this file use them."""

from __future__ import annotations

from typing import Any

from marshmallow import fields


def time(description: str, *, allow_none: bool = False) -> fields.String:
    return fields.String(
        required=True, allow_none=allow_none, metadata={"description": description, "format": "date-time"}
    )


def text(description: str, **kwargs: Any) -> fields.String:
    return fields.String(required=True, metadata={"description": description}, **kwargs)


def number(description: str, **kwargs: Any) -> fields.Float:
    return fields.Float(required=True, metadata={"description": description}, **kwargs)
