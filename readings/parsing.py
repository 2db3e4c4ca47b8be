"""Parse external data into a `Reading`, or a list of field errors.

The schema decides. `_plainly_right` is a fast path that accepts only readings that the schema accepts too.
Both use the bounds and patterns of `readings/reading.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson
from marshmallow import ValidationError

from errors import FieldError, InvalidReading, MalformedBody
from readings.reading import (
    BOUNDS,
    CHARGER_ID_PATTERN,
    EARLIEST,
    FUTURE_TOLERANCE,
    MAX_ERROR_CODE_CHARS,
    MAX_ERROR_CODES,
    NO_METADATA,
    STATUS_AS_WRITTEN,
    Reading,
    is_encodable,
)
from readings.schema import ReadingSchema, read_part
from readings.schema_fields import MAX_MOMENT_CHARS
from readings.wrong_values import IN_THE_FUTURE, no_object, with_hint

# Enough for a reading in a list in a body, with metadata one level deeper than allowed.
MAX_LEVELS: Final = 64
# The length of the smallest 64-bit integer.
MAX_INTEGER_CHARS: Final = 20
# A string, an unclosed quote, or brackets.
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|"|[\[{]+|[\]}]+', re.DOTALL).finditer
_IS_CHARGER_ID: Final = re.compile(CHARGER_ID_PATTERN).match
_SCHEMA: Final = ReadingSchema()
_ENERGY, _POWER, _TEMPERATURE, _UPTIME, _SESSIONS = (
    BOUNDS[name] for name in ("energy_delivered", "power", "temperature", "uptime_hours", "total_sessions")
)


def decode_json(raw: bytes | str, *, for_schema: bool = False) -> Any:
    """Decode JSON.

    Accepts `NaN`, `Infinity` and numbers beyond a double, which orjson refuses. The schema refuses them with
    the field's name, which helps a caller more than a byte offset. For the same reason `for_schema` accepts
    lone surrogates. It also replaces values below `MAX_LEVELS` levels by null if the nesting is too deep to
    decode. An integer beyond 64 bits becomes a float.

    Raises `MalformedBody` for text that is not JSON or not UTF-8. Without `for_schema` it also raises it for
    lone surrogates and for nesting that is too deep.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            return _decode_leniently(raw) if for_schema else _decode_encodable(raw)
        except (ValueError, RecursionError):
            raise MalformedBody(f"The body is not JSON: {error}.") from None


def _decode_encodable(raw: bytes | str) -> Any:
    value = json.loads(_text(raw), parse_int=_integer)
    json.dumps(value, ensure_ascii=False).encode()  # raises for a lone surrogate
    return value


def _decode_leniently(raw: bytes | str) -> Any:
    text = _text(raw)
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        return json.loads(_cut_to_levels(text, MAX_LEVELS), parse_int=_integer)


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("utf-8-sig")


def _integer(digits: str) -> int | float:
    """Parse an integer like orjson: its result must not depend on the rest of the document."""
    if len(digits) <= MAX_INTEGER_CHARS and -(2**63) <= (number := int(digits)) < 2**64:
        return number
    return float(digits)


def _cut_to_levels(text: str, most_levels: int) -> str:
    """Replace each object and list below `most_levels` levels of a JSON text by null.

    Raises `ValueError` for an unclosed string.
    """
    kept: list[str] = []
    levels, end = 0, 0
    for token in _TOKEN(text):
        start, stop = token.span()
        first = text[start]
        if first in "[{":
            if levels <= most_levels < levels + stop - start:
                kept += text[end : start + most_levels - levels], "null"
                end = len(text)
            levels += stop - start
        elif first in "]}":
            if levels - (stop - start) <= most_levels < levels:
                end = start + levels - most_levels
            levels -= stop - start
        elif stop - start == 1:
            raise ValueError("a string does not end")
    return "".join(kept) + text[end:]


def parse_reading(raw: object, *, now: datetime, pointer: str = "") -> Reading:
    """Parse decoded JSON into a `Reading`.

    `now` is the arrival time (aware UTC). It is the default timestamp, and the reference for times in the
    future. `pointer` is the RFC 6901 pointer of `raw` in the caller's document.

    Raises `InvalidReading` that names every wrong field.
    """
    if type(raw) is not dict and not isinstance(raw, Mapping):
        raise InvalidReading([FieldError(pointer, no_object(raw), "type")])
    reading = _plainly_right(raw, now)
    return _judged(raw, now, pointer) if reading is None else reading


def _judged(raw: Mapping[str, Any], now: datetime, pointer: str) -> Reading:
    problems: list[FieldError] = []
    loaded: dict[str, Any]
    try:
        loaded = _SCHEMA.load(raw)
    except ValidationError as error:
        problems = [with_hint(each, raw) for each in field_errors(error.messages, pointer)]
        loaded = cast(dict[str, Any], error.valid_data)  # so that errors of the other fields are reported too
    stated: datetime | None = loaded.get("timestamp")
    problems += [
        FieldError(f"{pointer}/{name}", IN_THE_FUTURE, "future")
        for name in ("timestamp", "last_maintenance")
        if loaded.get(name) is not None and loaded[name] > now + FUTURE_TOLERANCE
    ]
    if problems:
        raise InvalidReading(problems)
    codes: list[str] | None = loaded["error_codes"]
    return Reading(
        charger_id=loaded["charger_id"],
        connector_status=loaded["connector_status"],
        timestamp=stated if stated is not None else now,
        energy_delivered=loaded["energy_delivered"],
        power=loaded["power"],
        temperature=loaded["temperature"],
        error_codes=None if codes is None else real_codes(codes),
        uptime_hours=loaded["uptime_hours"],
        total_sessions=loaded["total_sessions"],
        last_maintenance=loaded["last_maintenance"],
        metadata=loaded["metadata"] or NO_METADATA,
        stated_at=stated is not None,
    )


class _Doubt(Exception):
    """Raised for a value that only the schema can validate."""


def _plainly_right(raw: Mapping[str, Any], now: datetime) -> Reading | None:
    """The reading of a plainly valid object; None if the schema has to validate it.

    Marshmallow takes 30 µs per reading, a third of the budget of a whole request. This takes 2 µs, and nearly
    every reading is plain. A test compares both on objects that hypothesis generates.
    """
    get = raw.get
    charger_id, status, sessions = get("charger_id"), get("connector_status"), get("total_sessions")
    codes, metadata = get("error_codes"), get("metadata")
    serviced, stated = get("last_maintenance"), get("timestamp")
    if type(charger_id) is not str or _IS_CHARGER_ID(charger_id) is None:
        return None
    if type(status) is not str or status not in STATUS_AS_WRITTEN:
        return None
    if sessions is not None and type(sessions) is not int:
        return None
    if metadata is not None and type(metadata) is not dict:
        return None
    latest = now + FUTURE_TOLERANCE
    try:
        _plain_number(sessions, _SESSIONS)
        return Reading._make(  # keyword arguments take twice as long
            (
                charger_id,
                STATUS_AS_WRITTEN[status],
                now if stated is None else _plain_moment(stated, latest),
                _plain_number(get("energy_delivered"), _ENERGY),
                _plain_number(get("power"), _POWER),
                _plain_number(get("temperature"), _TEMPERATURE),
                None if codes is None else _plain_codes(codes),
                _plain_number(get("uptime_hours"), _UPTIME),
                sessions,
                None if serviced is None else _plain_moment(serviced, latest),
                read_part(metadata) if metadata else NO_METADATA,
                stated is not None,
            )
        )
    except (_Doubt, ValidationError):
        return None


def _plain_number(number: object, bounds: tuple[float, float]) -> float | None:
    if number is None:
        return None
    if (type(number) is float or type(number) is int) and bounds[0] <= number <= bounds[1]:  # false for NaN
        return float(number)
    raise _Doubt


def _plain_moment(text: object, latest: datetime) -> datetime:
    # Python accepts any separator of date and time. With a T as the 11th character, the first ten are a date.
    if type(text) is not str or text[10:11] != "T" or len(text) > MAX_MOMENT_CHARS:
        raise _Doubt
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise _Doubt from None
    if not EARLIEST <= moment <= latest:
        raise _Doubt
    return moment


def _plain_codes(codes: object) -> tuple[str, ...]:
    if type(codes) is not list or len(codes) > MAX_ERROR_CODES:
        raise _Doubt
    for code in codes:
        if type(code) is not str or len(code) > MAX_ERROR_CODE_CHARS or not is_encodable(code):
            raise _Doubt
    return real_codes(codes) if codes else ()


def real_codes(codes: Iterable[str]) -> tuple[str, ...]:
    """Strip the codes, and leave out empty ones and `NoError` (in any case)."""
    stripped = (code.strip() for code in codes)
    return tuple(code for code in stripped if code and code.lower() != "noerror")


def field_errors(messages: Mapping[Any, Any] | list[Any], pointer: str = "") -> list[FieldError]:
    """Flatten marshmallow's nested messages into `FieldError`s with RFC 6901 pointers below `pointer`."""
    if isinstance(messages, list):
        return [FieldError(pointer, str(message), _code_of(str(message))) for message in messages]
    found: list[FieldError] = []
    for key, inner in messages.items():
        step = "" if key == "_schema" else "/" + str(key).replace("~", "~0").replace("/", "~1")
        found.extend(field_errors(inner if isinstance(inner, dict | list) else [inner], pointer + step))
    return found


def _code_of(message: str) -> str:
    if message.startswith("Missing data"):
        return "required"
    if message.startswith("Must be"):
        return "range"
    return "type" if message.startswith("Not a valid") or " is not a number" in message else "invalid"
