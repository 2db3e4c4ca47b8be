"""Data from outside becomes a `Reading`, or a list of what is wrong with it.

The schema is the judge; `_plainly_right` only passes what it would pass too, sooner. Both read the bounds and
patterns of `models/reading.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from marshmallow import ValidationError

from errors import FieldError, InvalidReading, MalformedBody
from models.reading import (
    BOUNDS,
    CHARGER_ID_PATTERN,
    EARLIEST,
    FUTURE_TOLERANCE,
    MAX_ERROR_CODE_CHARS,
    MAX_ERROR_CODES,
    STATUS_AS_WRITTEN,
    Reading,
)
from models.schema import ReadingSchema

# How most callers write a moment. What looks otherwise may be right as well.
_IS_PLAIN_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{3}([0-9]{3})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_IS_CHARGER_ID: Final = re.compile(CHARGER_ID_PATTERN).match
_SCHEMA: Final = ReadingSchema()


def decode_json(raw: bytes | str) -> Any:
    """Decode JSON. Raises `MalformedBody` for what is not JSON, however deep or oddly encoded.

    `NaN`, `Infinity` and numbers beyond a double are let through although orjson refuses them: the schema
    then refuses them by the field's name, which helps a caller more than a byte offset.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            value = json.loads(raw)
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is refused here
        except (ValueError, RecursionError):
            raise MalformedBody(f"The body is not JSON: {error}.") from None
        return value


def parse_reading(raw: object, *, now: datetime, pointer: str = "") -> Reading:
    """Turn decoded JSON into a `Reading`.

    `now` is the arrival time (aware UTC): the default timestamp, and what "in the future" is measured
    from. `pointer` is where `raw` stands in the caller's document. Raises `InvalidReading`, naming every
    field that is wrong.
    """
    if not isinstance(raw, Mapping):
        raise InvalidReading([FieldError(pointer, "Must be a JSON object.", "type")])
    reading = _plainly_right(raw, now)
    return _judged(raw, now, pointer) if reading is None else reading


def _judged(raw: Mapping[str, Any], now: datetime, pointer: str) -> Reading:
    try:
        loaded: dict[str, Any] = _SCHEMA.load(raw)
    except ValidationError as error:
        raise InvalidReading(field_errors(error.messages, pointer)) from None
    stated: datetime | None = loaded["timestamp"]
    for name in ("timestamp", "last_maintenance"):
        if loaded[name] is not None and loaded[name] > now + FUTURE_TOLERANCE:
            detail = "Lies more than 5 minutes in the future of the service's clock."
            raise InvalidReading([FieldError(f"{pointer}/{name}", detail, "future")])
    if loaded["metadata"]:
        try:
            json.dumps(loaded["metadata"], allow_nan=False)
            orjson.dumps(loaded["metadata"])
        except (ValueError, TypeError, RecursionError):
            detail = "Cannot be carried: NaN, infinity, a number that is too large, or too deep."
            raise InvalidReading([FieldError(f"{pointer}/metadata", detail, "range")]) from None
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
        metadata=loaded["metadata"] or {},
        stated_at=stated is not None,
    )


def _plainly_right(raw: Mapping[str, Any], now: datetime) -> Reading | None:
    """The reading of a body that is right beyond doubt; None means that the schema has to judge.

    Marshmallow takes thirty microseconds for a reading, a third of what a whole request may cost, and nearly
    every reading is plain. A test compares the two on whatever comes to hypothesis's mind.
    """
    get = raw.get
    charger_id, status, codes = get("charger_id"), get("connector_status"), get("error_codes")
    if type(charger_id) is not str or _IS_CHARGER_ID(charger_id) is None:
        return None
    if type(status) is not str or status not in STATUS_AS_WRITTEN:
        return None
    numbers: list[float | None] = []
    for name, (low, high) in BOUNDS.items():
        number = get(name)
        kind = type(number)
        if number is not None:
            if (kind is not float and kind is not int) or not low <= number <= high:  # NaN is in no bounds
                return None
            number = float(number)
        numbers.append(number)
    sessions = get("total_sessions")
    if sessions is not None and type(sessions) is not int:
        return None
    if codes is not None:
        if type(codes) is not list or len(codes) > MAX_ERROR_CODES:
            return None
        if not all(type(code) is str and len(code) <= MAX_ERROR_CODE_CHARS for code in codes):
            return None
    latest = now + FUTURE_TOLERANCE
    moments: list[datetime | None] = []
    for name in ("last_maintenance", "timestamp"):
        moment = text = get(name)
        if text is not None:
            if type(text) is not str or _IS_PLAIN_MOMENT(text) is None:
                return None
            try:
                moment = datetime.fromisoformat(text)
                if moment.tzinfo is not UTC:
                    moment = moment.astimezone(UTC)
            except (ValueError, OverflowError):
                return None
            if not EARLIEST <= moment <= latest:
                return None
        moments.append(moment)
    metadata = get("metadata")
    if metadata is not None and (type(metadata) is not dict or metadata):
        return None
    energy_delivered, power, temperature, uptime_hours, _ = numbers
    last_maintenance, stated = moments
    return Reading(
        charger_id=charger_id,
        connector_status=STATUS_AS_WRITTEN[status],
        timestamp=stated if stated is not None else now,
        energy_delivered=energy_delivered,
        power=power,
        temperature=temperature,
        error_codes=None if codes is None else real_codes(codes),
        uptime_hours=uptime_hours,
        total_sessions=sessions,
        last_maintenance=last_maintenance,
        stated_at=stated is not None,
    )


def real_codes(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes without blanks around them, and without those that say that there is none."""
    stripped = (code.strip() for code in codes)
    return tuple(code for code in stripped if code and code.lower() != "noerror")


def field_errors(messages: Mapping[Any, Any] | list[Any], pointer: str = "") -> list[FieldError]:
    """Flatten marshmallow's nested messages into `FieldError`s with RFC 6901 pointers."""
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
    return "type" if message.startswith("Not a valid") else "invalid"
