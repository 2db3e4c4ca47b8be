"""The marshmallow fields of external data: numbers within bounds, times, connector statuses, error codes."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from readings.reading import (
    BOUNDS,
    EARLIEST,
    MAX_ERROR_CODES,
    STATUSES,
    UNITS,
    is_encodable,
    status_of,
)
from readings.wrong_values import not_a_moment, not_a_number

MAX_MOMENT_CHARS: Final = 64
# A number in a text, such as a cell of CSV: any plain notation (`+5`, `5.`, `007`).
NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
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


class JsonNumber(fields.Float):
    """A JSON number. Refuses numeric strings, booleans, NaN and infinity."""

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


class Number(JsonNumber):
    """A number of a reading, within its `BOUNDS`."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(allow_none=True, load_default=None, validate=Bounds(name), **kwargs)


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
