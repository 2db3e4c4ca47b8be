"""The marshmallow schema of one reading. It validates external data and describes it in OpenAPI."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from readings.reading import (
    BOUNDS,
    CHARGER_ID_PATTERN,
    EARLIEST,
    MAX_COSTS_BYTES,
    MAX_ERROR_CODE_CHARS,
    MAX_ERROR_CODES,
    MAX_METADATA_LEVELS,
    NO_METADATA,
    OCPP_STATUSES,
    STATUSES,
    UNITS,
    is_encodable,
    status_of,
)
from readings.wrong_values import not_a_moment, not_a_number

MAX_MOMENT_CHARS: Final = 64
# Tuples are the pairs of a Parquet map.
_NESTS: Final = (dict, list, tuple)
_HAS_T: Final = re.compile(r"[0-9W-]+[Tt ]").match


class Bounds(validate.Range):
    """The physical bounds of a number. The message names the unit, and asks whether another was meant."""

    def __init__(self, name: str) -> None:
        low, high = BOUNDS[name]
        unit, larger_numbers_unit = UNITS[name]
        self.detail = f"Must be between {low:,.0f} and {high:,.0f}" + (f" ({unit})." if unit else ".")
        self.detail_above = self.detail + (f" Is this {larger_numbers_unit}?" if larger_numbers_unit else "")
        super().__init__(min=low, max=high)

    def __call__(self, value: Any) -> Any:
        """Raises `ValidationError` for a value outside the bounds."""
        try:
            return super().__call__(value)
        except ValidationError:
            raise ValidationError(self.detail_above if value > self.max else self.detail) from None


class Number(fields.Float):
    """A JSON number within its `BOUNDS`. Refuses numeric strings, booleans, NaN and infinity."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(allow_none=True, load_default=None, validate=Bounds(name), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            raise ValidationError(not_a_number(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.make_error("special", input=value)
        # Check the bounds first: an integer of four hundred digits does not fit a float.
        for check in self.validators:
            check(value)
        return float(value)


class Count(Number):
    """A whole JSON number; 12.0 is whole."""

    default_error_messages = {"whole": "Not a whole number."}  # noqa: RUF012 - marshmallow's own protocol

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        number = super()._deserialize(value, attr, data, **kwargs)
        if number != int(number):
            raise self.make_error("whole", input=value)
        return int(number)


class Moment(fields.Field[datetime]):
    """An ISO 8601 string (no offset means UTC) or, with `epoch`, a number of seconds since 1970."""

    def __init__(self, *, epoch: bool = False, **kwargs: Any) -> None:
        self.epoch = epoch
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            if isinstance(value, str):
                # Python accepts any separator of date and time; ISO 8601 requires T, RFC 3339 T or a blank.
                if len(value) > MAX_MOMENT_CHARS or (len(value) > len("2026-01-31") and not _HAS_T(value)):
                    raise ValueError(value[:MAX_MOMENT_CHARS])
                moment = datetime.fromisoformat(value.upper())  # RFC 3339 allows t and z
                moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
                if moment < EARLIEST:
                    raise ValueError(value)
                return moment
            if self.epoch and isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
                return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            pass
        raise ValidationError(not_a_moment(value, epoch=self.epoch))


class Status(fields.String):
    """A connector status of the contract, or in OCPP 1.6 or 2.0.1 spelling, in any case."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        status = status_of(super()._deserialize(value, attr, data, **kwargs))
        if status is None:
            raise ValidationError("Not a connector status: " + ", ".join(STATUSES) + ", or an OCPP spelling.")
        return status


class Code(fields.String):
    """An error code: any text that UTF-8 can encode, so without lone surrogates."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        code: str = super()._deserialize(value, attr, data, **kwargs)
        if not is_encodable(code):
            raise self.make_error("invalid_utf8")
        return code


class Codes(fields.List[str]):
    """A list of error codes. Members of a list that is too long are not validated: one error is enough."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str | None]:
        if isinstance(value, list) and len(value) > MAX_ERROR_CODES:
            raise ValidationError(f"Longer than maximum length {MAX_ERROR_CODES}.")
        return super()._deserialize(value, attr, data, **kwargs)


class Metadata(fields.Dict):
    """An object of which only `costs` is used. Loads to that part (see `read_part`)."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise self.make_error("invalid")
        return dict(read_part(value))


def read_part(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the used part of a reading's metadata: `{"costs": …}`, or an empty mapping.

    The result can be encoded as JSON. Costs that are empty or not an object are ignored.

    Raises `ValidationError` for metadata that is nested too deeply, and for `costs` that are too large or not
    JSON.
    """
    if _is_deeper(metadata, MAX_METADATA_LEVELS):
        raise ValidationError(f"Must be at most {MAX_METADATA_LEVELS} levels deep.")
    costs = metadata.get("costs")
    if costs is None:
        return NO_METADATA
    try:
        encoded = orjson.dumps(costs, option=orjson.OPT_PASSTHROUGH_DATETIME)
        if len(encoded) > MAX_COSTS_BYTES:
            raise ValidationError({"costs": [f"Must be at most {MAX_COSTS_BYTES} bytes of JSON."]})
        if b"null" in encoded:
            json.dumps(costs, allow_nan=False)  # orjson writes NaN as null
    except (ValueError, TypeError, RecursionError):
        detail = "Must be JSON: no NaN, no infinity, no lone surrogate."
        raise ValidationError({"costs": [detail]}) from None
    return {"costs": costs} if costs and isinstance(costs, Mapping) else NO_METADATA


def _is_deeper(value: Any, most_levels: int) -> bool:
    """Whether objects and lists are nested more than `most_levels` deep; `value` itself is the first level.

    Iterates over the levels: recursion could end in a `RecursionError`.
    """
    level = [value]
    for _ in range(most_levels):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
            if isinstance(inner, _NESTS)
        ]
        if not level:
            return False
    return True


class ReadingSchema(Schema):
    """The schema of one reading. Loads to a dict, from which `parse_reading` creates a `Reading`."""

    class Meta:
        """Unknown fields are ignored: callers may send new ones."""

        unknown = EXCLUDE

    charger_id = fields.String(
        required=True,
        validate=validate.Regexp(
            CHARGER_ID_PATTERN, error="Must be 1 to 128 characters of A-Z a-z 0-9 * _ = : + | @ . -"
        ),
        metadata={"description": "The charger's OCPP identifier.", "example": "EVZ-0042"},
    )
    connector_status = Status(
        required=True,
        metadata={
            "description": "AVAILABLE, CHARGING, …; OCPP 1.6 and 2.0.1 spellings in any case are mapped.",
            "example": "CHARGING",
            "enum": [*STATUSES, *OCPP_STATUSES],
        },
    )
    energy_delivered = Number(
        "energy_delivered",
        metadata={"description": "kWh, total of the current or last session.", "example": 18.4},
    )
    power = Number("power", metadata={"description": "kW, now.", "example": 47.5})
    temperature = Number("temperature", metadata={"description": "°C, inside the charger.", "example": 41.0})
    error_codes = Codes(
        Code(validate=validate.Length(max=MAX_ERROR_CODE_CHARS)),
        allow_none=True,
        load_default=None,
        validate=validate.Length(max=MAX_ERROR_CODES),
        metadata={
            "description": "OCPP, MREC or vendor codes, as the charger reports them; NoError means none.",
            "example": ["HighTemperature"],
        },
    )
    uptime_hours = Number(
        "uptime_hours", metadata={"description": "Hours since the charger last started.", "example": 412.0}
    )
    total_sessions = Count(
        "total_sessions",
        metadata={"description": "Sessions since installation.", "example": 5120, "type": "integer"},
    )
    last_maintenance = Moment(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "ISO 8601.",
            "example": "2026-05-02T09:00:00Z",
            "type": "string",
            "format": "date-time",
        },
    )
    timestamp = Moment(
        epoch=True,
        allow_none=True,
        load_default=None,
        metadata={
            "description": "When the reading was taken: ISO 8601 or epoch seconds. Default: now. "
            "More than 5 minutes ahead of the service's clock is an error.",
            "example": "2026-11-20T08:30:00Z",
            "type": ["string", "number"],
            "format": "date-time",
            "minimum": 0,
        },
    )
    metadata = Metadata(
        allow_none=True,
        load_default=dict,
        metadata={
            "description": f"At most {MAX_METADATA_LEVELS} levels deep. `costs` (at most {MAX_COSTS_BYTES} "
            "bytes of JSON) overrides the configured costs of the maintenance schedule, and "
            "`costs.maintenance_interval_days` the ordinary service interval. The rest is ignored."
        },
    )


FIELDS: Final = ReadingSchema().fields
REQUIRED: Final = tuple(name for name, field in FIELDS.items() if field.required)
