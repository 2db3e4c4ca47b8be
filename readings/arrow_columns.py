"""Parse one column of an Arrow table: its values, and a mask of the plainly valid ones.

Only plainly valid values are accepted here. `readings/schema.py` validates the other rows one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from marshmallow import ValidationError

from readings.arrow_cells import BLANKS, TRIMMED, as_json, is_epoch
from readings.parsing import real_codes
from readings.reading import (
    BOUNDS,
    CHARGER_ID_PATTERN,
    EARLIEST,
    FUTURE_TOLERANCE,
    MAX_ERROR_CODE_CHARS,
    MAX_ERROR_CODES,
    is_encodable,
    status_of,
)
from readings.schema import REQUIRED
from readings.schema_fields import NUMBER, Moment

Bools = npt.NDArray[np.bool_]
# The values of a column (None if missing or doubtful), and a mask of the plainly valid ones.
Judged = tuple[list[Any], Bools]

_ID_PATTERN: Final = CHARGER_ID_PATTERN.replace("(?!\\n)", "").replace("$", r"\z")  # RE2 has no lookahead
_MOMENT: Final = Moment()


def judge(name: str, column: pa.ChunkedArray, now: datetime) -> Judged:
    """The values of the field `name` and the mask of the plainly valid ones. `now` is the arrival time.

    Raises nothing for bad values; a doubtful value is None and masked out.
    """
    array = _plain_array(column)
    return _judge(name, _trimmed(name, array), now) if _is_sound(array) else _doubtful(array)


def _plain_array(column: pa.ChunkedArray) -> pa.Array:
    """One array of a plain type: no dictionary, no view, no chunks."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no rows, or more text than fits into one array
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
    """Whether each value is valid for its type. Arrow does not check UTF-8 when it reads texts."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _trimmed(name: str, array: pa.Array) -> pa.Array:
    """Strip blanks from texts of numbers and times. A blank text becomes null."""
    if name not in TRIMMED or not pa.types.is_string(array.type):
        return array
    return _without_empty(pc.utf8_trim(array, BLANKS))


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
    return [None] * len(array), _truths(array.is_null())  # metadata: the schema validates any present value


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
        written = pc.match_substring_regex(array, rf"\A{NUMBER}\z")
        array = pc.if_else(written, array, pa.scalar(None, pa.string()))
        array = pc.utf8_ltrim(array, "+")  # Arrow cannot read a leading plus
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return _doubtful(array)
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    low, high = BOUNDS[name]
    right = (numbers >= low) & (numbers <= high)  # false for NaN
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
            if epoch and is_epoch(text):
                return None  # rare; the schema parses it
            return in_time(_MOMENT.deserialize(text))

        return _each_text(array, read, missing=True)
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return _doubtful(array)
    missing = _truths(array.is_null())
    try:  # only nanoseconds may be truncated; seconds and days may overflow
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
            codes = as_json("error_codes", text)
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
    # Few rows have codes; rows without cost nothing.
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
    """Apply `read` once to each distinct text. None or an error is doubtful. `missing`: null is valid."""
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
    """All present values are doubtful: the schema validates them. For types without a fast parser."""
    return [None] * len(array), _truths(array.is_null())
