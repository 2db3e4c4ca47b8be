"""Convert cells of an Arrow column to JSON values, for the schema.

In text columns (CSV) a number may have any plain notation (`+5`, `5.`, `007`). `error_codes` are separated by
semicolons or a JSON list. `metadata` is a JSON object. A `timestamp` of nine digits or more is epoch seconds.
Blanks around numbers and times are ignored.
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
from readings.schema_fields import NUMBER

BLANKS: Final = " \t\u00a0"
TRIMMED: Final = (*BOUNDS, "timestamp", "last_maintenance")
is_epoch: Final = re.compile(r"[0-9]{9,}(\.[0-9]+)?").fullmatch
_IS_NUMBER: Final = re.compile(NUMBER).fullmatch
# Raised by Arrow for a value that Python cannot represent.
_NO_VALUE: Final = (ValueError, OverflowError, pa.ArrowException)
_NOTHING_OF_JSON: Final = object()


def cells(name: str, array: pa.Array, places: Sequence[int]) -> list[Any]:
    """The values of the field `name` at these places, as JSON values.

    A value that Python cannot represent becomes an object that the schema refuses.
    """
    if pa.types.is_map(array.type):
        return [_map(array[place]) for place in places]
    try:
        return [as_json(name, value) for value in array.take(pa.array(places)).to_pylist()]
    except _NO_VALUE:
        return [_cell(name, array[place]) for place in places]


def _cell(name: str, cell: pa.Scalar) -> Any:
    """The cell as a JSON value, or an object that the schema refuses if Python cannot represent the value.

    Examples: a time in the year 60000, text that is not UTF-8, an object with a duplicate key.
    """
    try:
        return as_json(name, cell.as_py())
    except _NO_VALUE:
        return _NOTHING_OF_JSON


def _map(cell: pa.Scalar) -> Any:
    """A map as an object, or an object that the schema refuses if the pairs are not a valid map."""
    try:
        pairs = cell.as_py()
        return None if pairs is None else dict(pairs)
    except (*_NO_VALUE, TypeError):
        return _NOTHING_OF_JSON


def as_json(name: str, value: Any) -> Any:
    """A value of the field `name` as a JSON value."""
    if isinstance(value, str):
        return _read_text(name, value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if name == "charger_id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # tools convert a column of digits to numbers
    return value


def _read_text(name: str, text: str) -> Any:
    if name in TRIMMED:
        text = text.strip(BLANKS)
    if (name in BOUNDS and _IS_NUMBER(text)) or (name == "timestamp" and is_epoch(text)):
        return float(text)  # may be infinite; the schema refuses that
    if name == "error_codes" and not text.startswith("["):
        return text.split(";")
    if name in ("error_codes", "metadata"):
        try:
            found = decode_json(text, for_schema=True)
        except MalformedBody:
            return text
        return text if found == "" else found  # an empty JSON string must not count as missing
    return text
