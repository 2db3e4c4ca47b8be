"""The rows of `{"chargers": [reading, …]}`, a window of the file at a time.

A window is cut where a row seems to end, and decoded at once (docs/adr/0009). That cannot go wrong unseen:
a cut inside of a string or of a nested value leaves text that is no list, and another place is tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any, Final

import orjson
from marshmallow import ValidationError

from errors import FieldError, InvalidReading, MalformedBody
from readings.parsing import MAX_LEVELS, decode_json
from readings.schema import read_part

FIELD: Final = "chargers"
WINDOW_BYTES: Final = 1 << 18
# A row, and what stands before or behind the list, may be so long.
MAX_ROW_BYTES: Final = 1_000_000
# Rows hold few objects of their own.
CUTS_TRIED: Final = 8
# White space between two rows is shorter.
MARGIN_BYTES: Final = 256

_OPENING: Final = re.compile(rb'"chargers"\s*:\s*\[')
_COMMA: Final = re.compile(rb"\s*,\s*\Z")
# Stands for "chargers" where a list is continued, so that a second one in the same document is seen.
_REST: Final = "the rest of them"


def whole(data: bytes) -> list[Any]:
    """The rows of a small document. Raises `MalformedBody` and `InvalidReading`, which say more of it than
    `in_windows` can."""
    body = decode_json(data, for_schema=True)
    if not isinstance(body, dict):
        raise InvalidReading([FieldError("", "Must be a JSON object.", "type")])
    if FIELD not in body:
        raise InvalidReading([FieldError(f"/{FIELD}", "Missing data for required field.", "required")])
    if not isinstance(body[FIELD], list):
        raise InvalidReading([FieldError(f"/{FIELD}", "Must be a list of readings.", "type")])
    return body[FIELD]


def in_windows(file: IO[bytes]) -> Iterator[Any]:
    """The rows of a document of any size. Raises `MalformedBody` and `InvalidReading`, after the rows before
    the fault."""
    window = file.read(MAX_ROW_BYTES)
    at = _first_row(window)
    window = window[at:]
    while more := file.read(WINDOW_BYTES):
        found = _rows_until_a_cut(window)
        if found is not None:
            rows, end = found
            yield from rows
            window, at = window[end:], at + end
        elif len(window) > MAX_ROW_BYTES:
            raise MalformedBody(
                f"From byte {at} on the body is not JSON, or a row is longer than {MAX_ROW_BYTES} bytes."
            )
        window += more
    yield from _last_rows(window, at)


def _first_row(window: bytes) -> int:
    """Where the list begins. Members before it may have any names and values.

    Raises `MalformedBody`, and `InvalidReading` for an object without one.
    """
    for opening in islice(_OPENING.finditer(window), CUTS_TRIED):
        head = _decoded(window[: opening.end()] + b"]}")
        if isinstance(head, dict) and head.get(FIELD) == []:
            return opening.end()
    if window.lstrip().startswith(b"{"):
        detail = f'No "{FIELD}": [ … ] begins in the first {MAX_ROW_BYTES} bytes.'
        raise InvalidReading([FieldError(f"/{FIELD}", detail, "required")])
    raise MalformedBody("The body is not a JSON object.")


def _rows_until_a_cut(window: bytes) -> tuple[list[Any], int] | None:
    """The rows of the window but the last ones, and where those begin; None if that cannot be seen."""
    brace = len(window)
    for _ in range(CUTS_TRIED):
        brace = window.rfind(b"{", 0, brace)
        comma = _COMMA.search(window, max(0, brace - MARGIN_BYTES), max(0, brace))
        if brace < 0:
            break
        rows = _decoded(b"[%b]" % window[: comma.start()]) if comma else None
        if rows:
            return rows, brace
    return None


def _last_rows(window: bytes, at: int) -> list[Any]:
    rest = _decoded(b'{"%b":[%b' % (_REST.encode(), window))
    if not isinstance(rest, dict) or not isinstance(rest[_REST], list):
        raise MalformedBody(f"From byte {at} on the body is not JSON.")
    if FIELD in rest:
        raise InvalidReading([FieldError(f"/{FIELD}", "There is more than one such list.", "duplicate")])
    rows: list[Any] = rest[_REST]
    return rows


def _decoded(text: bytes) -> Any:
    try:
        return decode_json(text, for_schema=True)
    except MalformedBody:
        return None


def encode_row(row: Any) -> bytes:
    """A row as the workers read it, JSON on one line. Metadata that nobody reads is left out.

    Of whatever is nested too deeply for an encoder, what lies deeper than a reading may be becomes null: the
    worker refuses the field all the same.
    """
    row = _without_unread(row)
    try:
        data = orjson.dumps(row)
        # orjson writes NaN as null, which would be another reading; the worker shall refuse it. As many nulls
        # as there are Nones spare a second decoding.
        nulls = data.count(b"null")
        if not nulls or (isinstance(row, dict) and nulls == list(row.values()).count(None)):
            return data
        if orjson.loads(data) == row:
            return data
    except TypeError:
        row = _cut(row, MAX_LEVELS)  # too deep, or half of a surrogate pair
    return json.dumps(row).encode()


def _without_unread(row: Any) -> Any:
    """The row with the part of its metadata that is read; as it is where that part is to be refused."""
    metadata = row.get("metadata") if isinstance(row, dict) else None
    if not isinstance(metadata, dict) or not metadata:
        return row
    try:
        return {**row, "metadata": read_part(metadata)}
    except ValidationError:
        return row


def _cut(value: Any, levels: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return None
    if isinstance(value, dict):
        return {name: _cut(inner, levels - 1) for name, inner in value.items()}
    return [_cut(inner, levels - 1) for inner in value]
