"""Cells of an Arrow column as the schema takes them: as they would stand in JSON.

In text columns (CSV) a number may be written in any plain way (`+5`, `5.`, `007`), `error_codes` with
semicolons between them or as a JSON list, `metadata` as a JSON object, and a `timestamp` of nine digits or
more is epoch seconds. Blanks around numbers and times do not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from errors import MalformedBody
from readings.parsing import decode_json
from readings.reading import BOUNDS

NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
BLANKS: Final = " \t\u00a0"
TRIMMED: Final = (*BOUNDS, "timestamp", "last_maintenance")
is_epoch: Final = re.compile(r"[0-9]{9,}(\.[0-9]+)?").fullmatch
_IS_NUMBER: Final = re.compile(NUMBER).fullmatch
# What Arrow raises at a value that Python has not.
_NO_VALUE: Final = (ValueError, OverflowError, pa.ArrowException)
_NOTHING_OF_JSON: Final = object()


def cells(name: str, array: pa.Array, places: Sequence[int]) -> list[Any]:
    if pa.types.is_map(array.type):
        return [_map(array[place]) for place in places]
    try:
        return [as_json(name, value) for value in array.take(pa.array(places)).to_pylist()]
    except _NO_VALUE:
        return [_cell(name, array[place]) for place in places]


def _cell(name: str, cell: pa.Scalar) -> Any:
    """Something that the schema refuses by the field's name, where Python has no such value: a moment in the
    year 60000, text that is not UTF-8, an object with one key twice."""
    try:
        return as_json(name, cell.as_py())
    except _NO_VALUE:
        return _NOTHING_OF_JSON


def _map(cell: pa.Scalar) -> Any:
    """A map as an object. Of a list of pairs that is no map the schema says so."""
    try:
        pairs = cell.as_py()
        return None if pairs is None else dict(pairs)
    except (*_NO_VALUE, TypeError):
        return _NOTHING_OF_JSON


def as_json(name: str, value: Any) -> Any:
    """A value of a column as it would stand in JSON."""
    if isinstance(value, str):
        return _read_text(name, value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if name == "charger_id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # a column of digits has become one of numbers somewhere on its way
    return value


def _read_text(name: str, text: str) -> Any:
    if name in TRIMMED:
        text = text.strip(BLANKS)
    if (name in BOUNDS and _IS_NUMBER(text)) or (name == "timestamp" and is_epoch(text)):
        return float(text)  # infinite where JSON would have no number: the schema refuses that by name
    if name == "error_codes" and not text.startswith("["):
        return text.split(";")
    if name in ("error_codes", "metadata"):
        try:
            found = decode_json(text, for_schema=True)
        except MalformedBody:
            return text
        return text if found == "" else found  # an empty text is no missing one
    return text
