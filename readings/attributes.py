"""The attributes of a charger: master data that its operator states. All are optional.

They come by `PUT /api/v1/chargers/{id}`, in a CSV file, or as `metadata.attributes` of a reading. One schema
serves the three. The first two refuse a wrong value, a reading goes on without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from readings.reading import is_encodable, rfc3339
from readings.schema_fields import NUMBER, JsonNumber, Moment

MAX_CHARS: Final = 128
MAX_CONNECTOR_TYPES: Final = 16
MAX_POWER_KW: Final = 10_000.0
# A charger may be announced on the day before, and calendar days differ by time zone.
INSTALLED_AHEAD: Final = timedelta(days=1)
# Between the connector types of a CSV cell, as between its error codes.
SEPARATOR: Final = ";"

# Control characters, separators of lines, and marks that reverse the direction of the text after them.
_CONTROL: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
# Characters without a width: a text of these alone would be an empty link.
_INVISIBLE: Final = r"\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
# At least one character that is none of these, and no blank. Also a pattern of ECMAScript, for OpenAPI.
TEXT_PATTERN: Final = rf"^[^{_CONTROL}]*[^{_CONTROL}{_INVISIBLE}\s][^{_CONTROL}]*$"
_HAS_CONTROL: Final = re.compile(f"[{_CONTROL}]").search
_HAS_VISIBLE: Final = re.compile(rf"[^{_INVISIBLE}\s]").search
_IS_NUMBER: Final = re.compile(NUMBER).fullmatch
_DATE_CHARS: Final = len("2026-01-31")
_LENGTH: Final = f"Must be 1 to {MAX_CHARS} characters."

# Names of attributes, and their values: texts, one list of texts, one number.
Attributes = dict[str, Any]


class Text(fields.String):
    """A text of 1 to 128 characters on one line. Blanks around it are removed."""

    def __init__(self, description: str, example: str, *, allow_none: bool = True) -> None:
        super().__init__(
            allow_none=allow_none,
            metadata={
                "description": description,
                "example": example,
                "minLength": 1,
                "maxLength": MAX_CHARS,
                "pattern": TEXT_PATTERN,
            },
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        text = value.strip()
        if not text or len(value) > MAX_CHARS:
            raise ValidationError(_LENGTH)
        if _HAS_CONTROL(value) or not is_encodable(value):
            raise ValidationError("Must not have control characters.")
        if not _HAS_VISIBLE(text):
            raise ValidationError("Must have a visible character.")
        return text


class Types(fields.List[str]):
    """A list of at most 16 texts."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str | None]:
        if isinstance(value, list) and len(value) > MAX_CONNECTOR_TYPES:
            raise ValidationError(f"Must be at most {MAX_CONNECTOR_TYPES} items.")
        return super()._deserialize(value, attr, data, **kwargs)


class Installed(Moment):
    """A date or a time of ISO 8601. Loads to the same as text: `2026-01-31`, or RFC 3339 in UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, date):  # of Parquet; a datetime is one too
            value = value.isoformat()
        text = value.strip() if isinstance(value, str) else value
        moment = super()._deserialize(text, attr, data, **kwargs)
        if moment > datetime.now(UTC) + INSTALLED_AHEAD:
            raise ValidationError("Lies more than a day in the future of the service's clock.")
        return moment.date().isoformat() if len(text) <= _DATE_CHARS else rfc3339(moment)


class AttributesSchema(Schema):
    """The attributes of a charger, all optional. Null, or leaving one out, means that it is not known."""

    class Meta:
        """Unknown fields are ignored: callers may send new ones."""

        unknown = EXCLUDE

    site_id = Text("The site where it stands.", "SITE-12")
    vendor = Text("Its manufacturer.", "ABB")
    model = Text("Its model.", "Terra 184")
    firmware = Text("The version of its firmware.", "1.8.32")
    connector_types = Types(
        Text("A type of connector.", "CCS2", allow_none=False),
        allow_none=True,
        metadata={
            "description": "Types of its connectors.",
            "example": ["CCS2", "CHAdeMO"],
            "maxItems": MAX_CONNECTOR_TYPES,
        },
    )
    rated_power_kw = JsonNumber(
        allow_none=True,
        validate=validate.Range(
            min=0,
            min_inclusive=False,
            max=MAX_POWER_KW,
            error=f"Must be above 0 and at most {MAX_POWER_KW:,.0f} (kW).",
        ),
        metadata={"description": "kW, by its plate.", "example": 180.0, "exclusiveMinimum": 0},
    )
    installed_at = Installed(
        allow_none=True,
        metadata={
            "description": "ISO 8601: the date or the time of its installation.",
            "example": "2024-05-17",
            "type": "string",
            "anyOf": [{"format": "date"}, {"format": "date-time"}],
        },
    )
    name = Text("Its name among people.", "Harbour, bay 4")


FIELDS: Final = AttributesSchema().fields


_TEXTS: Final = frozenset(name for name, field in FIELDS.items() if isinstance(field, Text))


def known(loaded: Mapping[str, Any]) -> Attributes:
    """The attributes of a loaded `AttributesSchema`, without those that are null or an empty list."""
    return {name: value for name in FIELDS if (value := loaded.get(name)) not in (None, [])}


def read_attributes(given: Mapping[str, Any]) -> Attributes:
    """The right attributes among those of a reading. Wrong ones are left out. Raises nothing."""
    return _judged(given)[0]


def parse_cells(cells: Mapping[str, str]) -> dict[str, Any]:
    """The attributes of a row of CSV by column, None for an empty cell.

    Raises marshmallow's `ValidationError`, which names every wrong field.
    """
    found, problems = _judged({name: _of_cell(name, text.strip()) for name, text in cells.items()})
    if problems:
        raise ValidationError(problems)
    return {name: found.get(name) for name in cells}


def _of_cell(name: str, text: str) -> Any:
    if not text:
        return None
    if name == "connector_types":
        return [part for part in map(str.strip, text.split(SEPARATOR)) if part]
    return float(text) if name == "rated_power_kw" and _IS_NUMBER(text) else text


def _judged(given: Mapping[str, Any]) -> tuple[Attributes, dict[str, Any]]:
    """The right attributes, in the schema's order, and the messages of the wrong ones."""
    found: Attributes = {}
    problems: dict[str, Any] = {}
    for name, field in FIELDS.items():
        value = given.get(name)
        if value is None:
            continue
        if _is_plain(value) if name in _TEXTS else name == "connector_types" and _are_plain(value):
            found[name] = value  # as nearly all; the schema takes ten times as long
            continue
        try:
            value = field.deserialize(value)
        except ValidationError as error:
            problems[name] = error.messages
            continue
        if value != []:
            found[name] = value
    return found, problems


def _is_plain(value: Any) -> bool:
    """Whether `Text` accepts a value as it is. False for some that it accepts."""
    return (
        type(value) is str
        and 0 < len(value) <= MAX_CHARS
        and value.isascii()
        and value.isprintable()
        and value[0] != " " != value[-1]
    )


def _are_plain(value: Any) -> bool:
    """Whether `Types` accepts a value as it is. False for some that it accepts."""
    return type(value) is list and 0 < len(value) <= MAX_CONNECTOR_TYPES and all(map(_is_plain, value))
