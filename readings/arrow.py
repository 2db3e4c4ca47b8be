"""Readings from an Arrow table: what a column of a CSV or Parquet file says, judged a column at a time.

The rules are those of `readings/schema.py`. As with a single body, only what is plainly right is passed here;
every other row is judged by the schema, alone, which also words what is wrong with it. Empty and null are
missing; `charger_id` may be integers. In text columns (CSV) a number may be written in any plain
way (`+5`, `5.`, `007`), `error_codes` with semicolons between them or as a JSON list, `metadata` as a JSON
object, and a `timestamp` of nine digits or more is epoch seconds; blanks around numbers and times are none of
their own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from marshmallow import ValidationError

from errors import InvalidReading, MalformedBody
from readings.parsing import decode_json, parse_reading, real_codes
from readings.reading import (
    BOUNDS,
    CHARGER_ID_PATTERN,
    EARLIEST,
    FUTURE_TOLERANCE,
    MAX_ERROR_CODE_CHARS,
    MAX_ERROR_CODES,
    NO_METADATA,
    Reading,
    is_encodable,
    status_of,
)
from readings.rows import Refused, said_id, unreadable
from readings.schema import FIELDS, REQUIRED, Moment

log = logging.getLogger(__name__)

Bools = npt.NDArray[np.bool_]
# `Reading`'s fields between the third and `metadata`.
_IN_ORDER: Final = (
    "energy_delivered",
    "power",
    "temperature",
    "error_codes",
    "uptime_hours",
    "total_sessions",
    "last_maintenance",
)
# Takes the place of a row until the schema has judged it.
_UNJUDGED: Final = Refused(None, InvalidReading([]))

# A column's values, None where there is none, and which of them are plainly right.
Judged = tuple[list[Any], Bools]

_ID_PATTERN: Final = CHARGER_ID_PATTERN.replace("(?!\\n)", "").replace("$", r"\z")  # RE2 has no lookahead
_NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_IS_NUMBER: Final = re.compile(_NUMBER).fullmatch
_BLANKS: Final = " \t\u00a0"
_TRIMMED: Final = (*BOUNDS, "timestamp", "last_maintenance")
_IS_EPOCH: Final = re.compile(r"[0-9]{9,}(\.[0-9]+)?").fullmatch
_MOMENT: Final = Moment()
# What Arrow raises at a value that Python has not.
_NO_VALUE: Final = (ValueError, OverflowError, pa.ArrowException)
_NOTHING_OF_JSON: Final = object()


def from_ipc(data: bytes, *, now: datetime) -> list[Reading | Refused]:
    """One for each row of an Arrow IPC stream, in order. `now` is the time of arrival."""
    with pa.ipc.open_stream(data) as stream:
        return from_table(stream.read_all(), now=now)


def from_texts(
    header: Sequence[str], records: Sequence[Sequence[str]], *, now: datetime
) -> list[Reading | Refused]:
    """One for each record of a CSV file, in order. Each has a text for each column of `header`."""
    texts = zip(*records, strict=True) if records else ((),) * len(header)
    columns = {name: pa.array(column, pa.string()) for name, column in zip(header, texts, strict=True)}
    return from_table(pa.table(columns), now=now)


def from_table(table: pa.Table, *, now: datetime) -> list[Reading | Refused]:
    """One for each row, in order. Columns that the contract does not know are ignored, of whatever type.

    Where rows cannot be judged together each is judged alone. One that cannot be judged at all is refused.
    """
    try:
        return _judged_together(table, now)
    except Exception as error:
        if table.num_rows != 1:
            log.exception("%d rows cannot be judged together; each is judged alone", table.num_rows)
            rows = (table.slice(place, 1) for place in range(table.num_rows))
            return [from_table(row, now=now)[0] for row in rows]
        return [unreadable(error)]


def _judged_together(table: pa.Table, now: datetime) -> list[Reading | Refused]:
    table = table.select([name for name in table.column_names if name in FIELDS]).combine_chunks()
    n = table.num_rows
    right = np.ones(n, np.bool_)
    values: dict[str, list[Any]] = {}
    for name in FIELDS:
        if name in table.column_names:
            array = _plain_array(table[name])
            values[name], plainly = (
                _judge(name, _trimmed(name, array), now) if _is_sound(array) else _doubtful(array)
            )
        else:
            values[name], plainly = [None] * n, np.full(n, name not in REQUIRED)
        right &= plainly
    found: list[Reading | Refused] = [
        Reading._make((*row, NO_METADATA, stated)) if right else _UNJUDGED
        for right, stated, row in zip(
            right.tolist(),
            [moment is not None for moment in values["timestamp"]],
            zip(
                values["charger_id"],
                values["connector_status"],
                [now if moment is None else moment for moment in values["timestamp"]],
                *(values[name] for name in _IN_ORDER),
                strict=True,
            ),
            strict=True,
        )
    ]
    doubtful = np.flatnonzero(~right).tolist()
    if not doubtful:
        return found
    for index, raw in zip(doubtful, _rows(table, doubtful), strict=True):
        try:
            found[index] = parse_reading(raw, now=now)
        except InvalidReading as error:
            found[index] = Refused(said_id(raw), error)
    return found


def _rows(table: pa.Table, places: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Those rows as a caller would have sent them in JSON; what is null is left out."""
    columns = [_cells(name, table[name].chunk(0), places) for name in table.column_names]
    for row in zip(*columns, strict=True):
        cells = zip(table.column_names, row, strict=True)
        yield {name: value for name, value in cells if value is not None and value != ""}


def _cells(name: str, array: pa.Array, places: Sequence[int]) -> list[Any]:
    if pa.types.is_map(array.type):
        return [_map(array[place]) for place in places]
    try:
        return [_as_json(name, value) for value in array.take(pa.array(places)).to_pylist()]
    except _NO_VALUE:
        return [_cell(name, array[place]) for place in places]


def _cell(name: str, cell: pa.Scalar) -> Any:
    """Something that the schema refuses by the field's name, where Python has no such value: a moment in the
    year 60000, text that is not UTF-8, an object with one key twice."""
    try:
        return _as_json(name, cell.as_py())
    except _NO_VALUE:
        return _NOTHING_OF_JSON


def _map(cell: pa.Scalar) -> Any:
    """A map as an object. Of a list of pairs that is no map the schema says so."""
    try:
        pairs = cell.as_py()
        return None if pairs is None else dict(pairs)
    except (*_NO_VALUE, TypeError):
        return _NOTHING_OF_JSON


def _plain_array(column: pa.ChunkedArray) -> pa.Array:
    """One array of a plain type: no dictionary, no view, no chunks."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no rows, or more text than one array takes
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    if pa.types.is_string(array.type):
        array = _without_empty(array)
    return array


def _without_empty(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _is_sound(array: pa.Array) -> bool:
    """Whether each value is one of its type: nobody has looked yet whether texts are UTF-8."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _trimmed(name: str, array: pa.Array) -> pa.Array:
    """Texts of numbers and times without blanks around them; null where nothing else is left."""
    if name not in _TRIMMED or not pa.types.is_string(array.type):
        return array
    return _without_empty(pc.utf8_trim(array, _BLANKS))


def _judge(name: str, array: pa.Array, now: datetime) -> Judged:
    if pa.types.is_null(array.type):
        return [None] * len(array), np.full(len(array), name not in REQUIRED)
    if name == "charger_id":
        return _ids(array)
    if name == "connector_status":
        return _each_text(array, status_of, missing=False)
    if name in BOUNDS:
        return _numbers(name, array)
    if name in ("timestamp", "last_maintenance"):
        return _moments(array, now, epoch=name == "timestamp")
    if name == "error_codes":
        return _codes(array)
    return [None] * len(array), _truths(array.is_null())  # metadata: what there is goes to the schema


def _ids(array: pa.Array) -> Judged:
    if pa.types.is_integer(array.type):
        array = array.cast(pa.string())
    if not pa.types.is_string(array.type):
        return _doubtful(array)
    return _texts(array), _truths(pc.match_substring_regex(array, _ID_PATTERN))


def _numbers(name: str, array: pa.Array) -> Judged:
    kind = array.type
    missing = array.is_null()
    if pa.types.is_string(kind):
        written = pc.match_substring_regex(array, rf"\A{_NUMBER}\z")
        array = pc.if_else(written, array, pa.scalar(None, pa.string()))
        array = pc.utf8_ltrim(array, "+")  # Arrow reads all of them but this
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return _doubtful(array)
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    low, high = BOUNDS[name]
    right = (numbers >= low) & (numbers <= high)  # NaN is in no bounds
    if name == "total_sessions":
        right &= numbers == np.floor(numbers)
        values = np.where(right, numbers, 0).astype(np.int64).astype(object)
    else:
        values = numbers.astype(object)
    values[~right] = None
    return values.tolist(), right | _truths(missing)


def _moments(array: pa.Array, now: datetime, *, epoch: bool) -> Judged:
    kind = array.type
    latest = now + FUTURE_TOLERANCE

    def in_time(moment: datetime) -> datetime | None:
        return moment if EARLIEST <= moment <= latest else None

    if pa.types.is_string(kind):

        def read(text: str) -> datetime | None:
            if epoch and _IS_EPOCH(text):
                return None  # seldom; the schema reads it
            return in_time(_MOMENT.deserialize(text))

        return _each_text(array, read, missing=True)
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return _doubtful(array)
    missing = _truths(array.is_null())
    try:  # only of nanoseconds something may be cut off; seconds and days may be too many
        exact = array.cast(pa.timestamp("us", tz="UTC"), safe=getattr(kind, "unit", "") != "ns")
    except pa.ArrowInvalid:
        return _doubtful(array)
    micros = exact.cast(pa.int64()).fill_null(0)
    since_1970 = micros.to_numpy(zero_copy_only=False)
    right = (since_1970 >= 0) & (since_1970 <= latest.timestamp() * 1e6)
    naive = np.where(right, since_1970, 0).astype("datetime64[us]").tolist()
    given = (right & ~missing).tolist()
    return [
        moment.replace(tzinfo=UTC) if there else None for moment, there in zip(naive, given, strict=True)
    ], right


def _codes(array: pa.Array) -> Judged:
    kind = array.type
    if pa.types.is_string(kind):

        def read(text: str) -> tuple[str, ...] | None:
            codes = _as_json("error_codes", text)
            return real_codes(codes) if _are_codes(codes) else None

        return _each_text(array, read, missing=True)
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return _doubtful(array)
    if pa.types.is_null(kind.value_type):
        return [None if none else () for none in array.is_null().to_pylist()], _truths(
            pc.less_equal(pc.list_value_length(array).fill_null(0), 0)
        )
    values: list[Any] = [()] * len(array)
    right = np.ones(len(array), np.bool_)
    # Few rows have any: the others cost nothing.
    for index in np.flatnonzero(_truths(array.is_null())).tolist():
        values[index] = None
    some = np.flatnonzero(pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False))
    for index, codes in zip(some.tolist(), array.take(some).to_pylist(), strict=True):
        if _are_codes(codes):
            values[index] = real_codes(codes)
        else:
            right[index] = False
    return values, right


def _are_codes(codes: Any) -> bool:
    return (
        isinstance(codes, list)
        and len(codes) <= MAX_ERROR_CODES
        and all(
            isinstance(code, str) and len(code) <= MAX_ERROR_CODE_CHARS and is_encodable(code)
            for code in codes
        )
    )


def _each_text(array: pa.Array, read: Callable[[str], Any], *, missing: bool) -> Judged:
    """`read` of each distinct text, once; None or an error from it is doubtful. `missing`: null is right."""
    if not pa.types.is_string(array.type):
        return _doubtful(array)
    encoded = array.dictionary_encode()
    known: list[Any] = []
    for text in encoded.dictionary.to_pylist():
        try:
            known.append(read(text))
        except ValidationError:
            known.append(None)
    lookup = np.empty(len(known) + 1, object)
    lookup[: len(known)] = known
    right = np.array([value is not None for value in known] + [missing])
    index = encoded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
    return lookup[index].tolist(), right[index]


def _texts(array: pa.Array) -> list[Any]:
    texts: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
    return texts


def _truths(array: pa.Array) -> Bools:
    truths: Bools = array.fill_null(False).to_numpy(zero_copy_only=False)
    return truths


def _doubtful(array: pa.Array) -> Judged:
    """Of a type that says nothing by itself: the schema judges what is there."""
    return [None] * len(array), _truths(array.is_null())


def _as_json(name: str, value: Any) -> Any:
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
    if name in _TRIMMED:
        text = text.strip(_BLANKS)
    if (name in BOUNDS and _IS_NUMBER(text)) or (name == "timestamp" and _IS_EPOCH(text)):
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
