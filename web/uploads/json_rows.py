"""Read the rows of `{"chargers": [reading, …]}` in buffers of the file.

A buffer is cut at the apparent end of a row and decoded at once (docs/adr/0009). A wrong cut is always
detected: a cut inside a string or a nested value leaves text that is not a list, and another place is tried.
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
from readings.flat_or_envelope import METRICS
from readings.parsing import MAX_LEVELS, decode_json
from readings.schema import read_part

FIELD: Final = "chargers"
FORM: Final = '{"chargers": [reading, …]}'
WINDOW_BYTES: Final = 1 << 18
# The limit of a row, and of the text before or after the list.
MAX_ROW_BYTES: Final = 1_000_000
# Rows contain few nested objects.
CUTS_TRIED: Final = 8
# The limit of white space between two rows.
MARGIN_BYTES: Final = 256

_OPENING: Final = re.compile(rb'"chargers"\s*:\s*\[')
_COMMA: Final = re.compile(rb"\s*,\s*\Z")
# Replaces "chargers" in the continuation of the list, so that a second "chargers" is detected.
_REST: Final = "the rest of them"


def whole(data: bytes) -> list[Any]:
    """The rows of a small document, decoded at once.

    Raises `MalformedBody` and `InvalidReading`, with more detail than `in_windows`.
    """
    try:
        body = decode_json(data, for_schema=True)
    except MalformedBody as error:
        if isinstance(_decoded(data.partition(b"\n")[0]), dict):
            raise MalformedBody(
                f"{error} For one reading a line, send Content-Type: application/x-ndjson."
            ) from None
        raise
    if not isinstance(body, dict):
        raise InvalidReading([FieldError("", f"Must be a JSON object, like {FORM}.", "type")])
    if FIELD not in body:
        detail = f"Missing data for required field. The body must be like {FORM}."
        raise InvalidReading([FieldError(f"/{FIELD}", detail, "required")])
    if not isinstance(body[FIELD], list):
        raise InvalidReading([FieldError(f"/{FIELD}", "Must be a list of readings.", "type")])
    return body[FIELD]


def in_windows(file: IO[bytes]) -> Iterator[Any]:
    """The rows of a document of any size.

    Raises `MalformedBody` and `InvalidReading`, after yielding the rows before the error.
    """
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
    """The position at which the list starts. Members before it may have any names and values.

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
    """The complete rows of the buffer and the position after them; None if no cut was found."""
    brace = len(window)
    for _ in range(CUTS_TRIED):
        brace = window.rfind(b"{", 0, brace)
        comma = _COMMA.search(window, max(0, brace - MARGIN_BYTES), max(0, brace))
        if brace < 0:
            break
        rows = _decoded_until(b"[%b]" % window[: comma.start()]) if comma else None
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


def _decoded_until(text: bytes) -> Any:
    """As `_decoded`, for a text that may end inside a nested value. That is an error at its last character.

    Another decoder would not accept it either, and takes four times as long to find out.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return None if error.pos >= len(text) - 1 else _decoded(text)


def encode_row(row: Any) -> bytes:
    """Encode a row for the workers, as JSON on one line. Unused metadata is left out.

    A row that is nested too deeply for an encoder is cut: values below `MAX_LEVELS` become null. The worker
    refuses the field in either case.
    """
    row = _without_unread(row)
    try:
        data = orjson.dumps(row)
        # orjson writes NaN as null, which would change the reading; the worker must refuse NaN. Equal numbers
        # of nulls and Nones make a second decoding unnecessary.
        nulls = data.count(b"null")
        if not nulls or (isinstance(row, dict) and nulls == list(row.values()).count(None)):
            return data
        if orjson.loads(data) == row:
            return data
    except TypeError:
        row = _cut(row, MAX_LEVELS)  # nested too deeply, or a lone surrogate
    return json.dumps(row).encode()


def _without_unread(row: Any) -> Any:
    """The row with only the used part of its metadata. Unchanged if that part is invalid."""
    if not isinstance(row, dict):
        return row
    if isinstance(row.get(METRICS), dict):
        row = {**row, METRICS: _with_read_part(row[METRICS])}
    return _with_read_part(row)


def _with_read_part(reading: dict[str, Any]) -> dict[str, Any]:
    metadata = reading.get("metadata")
    if not isinstance(metadata, dict) or not metadata:
        return reading
    try:
        return {**reading, "metadata": read_part(metadata)}
    except ValidationError:
        return reading


def _cut(value: Any, levels: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return None
    if isinstance(value, dict):
        return {name: _cut(inner, levels - 1) for name, inner in value.items()}
    return [_cut(inner, levels - 1) for inner in value]
