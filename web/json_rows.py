"""The rows of `{"chargers": [reading, …]}`, a window of the file at a time.

A decoder that finds one value after the other (ijson) takes 6 µs a row, one that decodes a whole text at once
(orjson) takes 1 µs. So a window is cut where a row seems to end, and decoded at once. That cannot go wrong
unseen: a cut inside of a string or of a nested object leaves text that is no list. What does not have the
usual form goes to ijson from there on, and means the same.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any, Final

import ijson
import orjson

from errors import FieldError, InvalidReading, MalformedBody
from models.parsing import decode_json

WINDOW_BYTES: Final = 1 << 18
# Rows hold few objects of their own: of so many opening braces one begins a row.
BRACES_TRIED: Final = 16
# More white space between two rows is unusual.
MARGIN_BYTES: Final = 256

FIELD: Final = "chargers"
_LIST: Final = b'{"chargers":['
_OPENING: Final = re.compile(rb'\s*\{\s*"chargers"\s*:\s*\[\s*(?=\{)')
_BETWEEN: Final = re.compile(rb"(?<=\})\s*,\s*\Z")
_CLOSING: Final = re.compile(rb"(?<=\})\s*\]\s*\}\s*\Z")


def whole(data: bytes) -> list[Any]:
    """The rows of a small document. Raises `MalformedBody` and `InvalidReading`, which say more of it than
    `in_windows` can."""
    body = decode_json(data)
    if not isinstance(body, dict):
        raise InvalidReading([FieldError("", "Must be a JSON object.", "type")])
    if FIELD not in body:
        raise InvalidReading([FieldError(f"/{FIELD}", "Missing data for required field.", "required")])
    if not isinstance(body[FIELD], list):
        raise InvalidReading([FieldError(f"/{FIELD}", "Must be a list of readings.", "type")])
    return body[FIELD]


def in_windows(file: IO[bytes]) -> Iterator[Any]:
    """The rows of a document of any size. Raises `MalformedBody`, after the rows before the fault."""
    window = file.read(WINDOW_BYTES)
    opening = _OPENING.match(window)
    if opening:
        window = window[opening.end() :]
    while opening:
        more = file.read(WINDOW_BYTES)
        end = _last_comma(window) if more else _CLOSING.search(window, max(0, len(window) - MARGIN_BYTES))
        rows = end and _list(window[: end.start()])
        if not end or not rows:
            window += more
            break
        yield from rows
        if not more:
            return
        window = window[end.end() :] + more
    yield from _one_by_one((_LIST if opening else b"") + window, file)


def _last_comma(window: bytes) -> re.Match[bytes] | None:
    """Where, as far as can be seen from the end, one row ends and another begins."""
    brace = len(window)
    for _ in range(BRACES_TRIED):
        brace = window.rfind(b"{", 0, brace)
        if brace < 0:
            break
        comma = _BETWEEN.search(window, max(0, brace - MARGIN_BYTES), brace)
        if comma:
            return comma
    return None


def _list(rows: bytes) -> list[Any] | None:
    try:
        return list(decode_json(b"[%b]" % rows))
    except MalformedBody:
        return None


def _one_by_one(start: bytes, rest: IO[bytes]) -> Iterator[Any]:
    pieces = itertools.chain([start], iter(lambda: rest.read(WINDOW_BYTES), b""))
    try:
        # Not `use_float`: one integer of twenty digits would then be the end of the whole file.
        yield from ijson.items(ijson.from_iter(pieces), f"{FIELD}.item", buf_size=WINDOW_BYTES)
    except ijson.JSONError as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise MalformedBody(f"The body is not JSON: {first}.") from None


def line(row: Any) -> bytes:
    """A row as the workers read it, JSON on one line."""
    try:
        data = orjson.dumps(row, default=_as_float)
    except TypeError:  # an integer that no machine has, for example: the worker will say so of this row
        return json.dumps(row, default=_as_float).encode()
    # orjson writes NaN as null, which would be another reading; the worker shall refuse it.
    if b"null" in data and orjson.loads(data) != row:
        return json.dumps(row, default=_as_float).encode()
    return data


def _as_float(number: Decimal) -> float | str:
    """ijson's decimals as the floats they mean; one beyond them is left for the worker to refuse."""
    value = float(number)
    return value if math.isfinite(value) else str(number)
