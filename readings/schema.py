"""The marshmallow schema of one reading. It validates external data and describes it in OpenAPI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from readings.attributes import read_attributes
from readings.reading import (
    CHARGER_ID_PATTERN,
    MAX_COSTS_BYTES,
    MAX_ERROR_CODE_CHARS,
    MAX_ERROR_CODES,
    MAX_METADATA_LEVELS,
    NO_METADATA,
    OCPP_STATUSES,
    STATUSES,
)
from readings.schema_fields import Code, Codes, Count, Moment, Number, Status

# The members of `metadata` that are read.
METADATA_READ: Final = ("costs", "attributes")
# Tuples are the pairs of a Parquet map.
_NESTS: Final = (dict, list, tuple)


class Metadata(fields.Dict):
    """An object of which only `costs` and `attributes` are used. Loads to that part (see `read_part`)."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise self.make_error("invalid")
        return dict(read_part(value))


def read_part(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the used part of a reading's metadata: its `costs` and its `attributes`, if it has any.

    The result can be encoded as JSON. Costs and attributes that are empty or not an object are ignored, and
    so is each wrong attribute by itself: no reading is lost for it.

    Raises `ValidationError` for metadata that is nested too deeply, and for `costs` that are too large or not
    JSON.
    """
    if _is_deeper(metadata, MAX_METADATA_LEVELS):
        raise ValidationError(f"Must be at most {MAX_METADATA_LEVELS} levels deep.")
    costs, given = metadata.get("costs"), metadata.get("attributes")
    part = _read_costs(costs) if costs is not None else NO_METADATA
    if isinstance(given, Mapping) and (attributes := read_attributes(given)):
        return {**part, "attributes": attributes}
    return part


def _read_costs(costs: Any) -> Mapping[str, Any]:
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
            "`costs.maintenance_interval_days` the ordinary service interval. `attributes` (schema "
            "Attributes) replace those stored for the charger, one by one; a wrong one is ignored. The rest "
            "is ignored."
        },
    )


FIELDS: Final = ReadingSchema().fields
REQUIRED: Final = tuple(name for name, field in FIELDS.items() if field.required)
