"""Cursors of lists that are ordered by a value: a position, as opaque text."""

from __future__ import annotations

import base64
import binascii
from typing import Final

import orjson

from errors import FieldError, InvalidParameter
from tasks.storage.fleet_query import Cursor

MAX_CHARS: Final = 2_048
_MAX_DIGITS: Final = 9


def encode_cursor(cursor: Cursor | None) -> str | None:
    """The text of a cursor; None for None."""
    if cursor is None:
        return None
    return base64.urlsafe_b64encode(orjson.dumps(tuple(cursor))).rstrip(b"=").decode()


def decode_cursor(text: str, sort: str) -> Cursor | int:
    """The inverse of `encode_cursor`. A number is a number of items to leave out, as older releases gave it.

    Raises `InvalidParameter` for any other text, and for the cursor of another order than `sort`.
    """
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        its_sort, value, item_id = found
    except (ValueError, TypeError, binascii.Error):
        raise _wrong("Not a cursor: send `next` of the page before.") from None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_valid = (
        isinstance(its_sort, str)
        and (value is None or isinstance(value, str) or is_number)
        and (item_id is None or isinstance(item_id, str))
    )
    if not is_valid:
        raise _wrong("Not a cursor: send `next` of the page before.")
    if its_sort != sort:
        raise _wrong("The cursor belongs to another `sort`.")
    return Cursor(its_sort, value, item_id)


def _wrong(detail: str) -> InvalidParameter:
    return InvalidParameter([FieldError("/query/cursor", detail, "invalid")])
