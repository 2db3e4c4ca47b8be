"""One reading of a charger: the contract that REST bodies, batch rows and Kafka records share.

`ReadingSchema` (marshmallow) is the judge of outside data; `_plainly_right` only passes what it would pass
too, sooner. Both read the bounds and patterns below. Units are those of the contract: kWh, kW, °C, hours;
times are aware UTC datetimes. A missing number is `None`, never zero.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import orjson
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from errors import FieldError, InvalidReading, MalformedBody

# `(?!\n)`: Python's `$` alone also matches before a trailing newline, ECMAScript's does not.
CHARGER_ID_PATTERN: Final = r"^[A-Za-z0-9*_=:+|@.\-]{1,128}$(?!\n)"
TENANT_ID_PATTERN: Final = r"^[A-Za-z0-9_\-]{1,64}$(?!\n)"
# What can be asked about a reading.
Kind = Literal["failure", "maintenance", "anomaly"]
KINDS: Final[tuple[Kind, ...]] = ("failure", "maintenance", "anomaly")

FUTURE_TOLERANCE: Final = timedelta(minutes=5)
MAX_ERROR_CODES: Final = 128
MAX_MOMENT_CHARS: Final = 64
# Before that no charger reported anything; it also keeps years below 1000 out, which nothing prints alike.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HAS_T: Final = re.compile(r"[0-9W-]+[Tt ]").match
# How most callers write a moment. What looks otherwise may be right as well.
_IS_PLAIN_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{3}([0-9]{3})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_IS_CHARGER_ID: Final = re.compile(CHARGER_ID_PATTERN).match
MAX_ERROR_CODE_CHARS: Final = 128
NO_METADATA: Final[Mapping[str, Any]] = {}

STATUSES: Final = ("AVAILABLE", "CHARGING", "OCCUPIED", "UNAVAILABLE", "OFFLINE", "FAULTY", "FULLY_CHARGED")

# OCPP 1.6 ChargePointStatus and OCPP 2.0.1 ConnectorStatusEnumType, mapped to the contract's words.
# SuspendedEV is the vehicle's own stop, most often because its battery is full.
OCPP_STATUSES: Final = {
    "Available": "AVAILABLE",
    "Preparing": "OCCUPIED",
    "Charging": "CHARGING",
    "SuspendedEVSE": "OCCUPIED",
    "SuspendedEV": "FULLY_CHARGED",
    "Finishing": "OCCUPIED",
    "Reserved": "OCCUPIED",
    "Occupied": "OCCUPIED",
    "Unavailable": "UNAVAILABLE",
    "Faulted": "FAULTY",
}


def _plain(status: str) -> str:
    return re.sub(r"[\s_-]", "", status).lower()


_STATUS_BY_SPELLING: Final = {_plain(spelling): status for spelling, status in OCPP_STATUSES.items()}
_STATUS_BY_SPELLING.update((_plain(status), status) for status in STATUSES)
_STATUS_AS_WRITTEN: Final = {status: status for status in STATUSES} | OCPP_STATUSES


def status_of(text: str) -> str | None:
    """The contract's word for a status as it was spelt; None if it is none."""
    return _STATUS_AS_WRITTEN.get(text) or _STATUS_BY_SPELLING.get(_plain(text[:64]))


# Lower and upper physical bound of each number. The upper ones only keep typing errors and other units
# out (a million kWh in one session, a century of uptime), so that nothing plausible is refused.
BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "energy_delivered": (0.0, 1e6),
    "power": (0.0, 1e5),
    "temperature": (-60.0, 200.0),
    "uptime_hours": (0.0, 1e6),
    "total_sessions": (0, 1e9),
}


class Reading(NamedTuple):
    """What one charger said at one moment. A tuple, for a frozen dataclass takes six times as long to make.

    `energy_delivered` kWh in the current or last session, `power` kW, `temperature` °C, `uptime_hours` h,
    `total_sessions` a count. `error_codes` is `None` where the charger reports none of its own accord, and
    empty where it reports that there is no error. `stated_at` is false where the sender named no time, so
    that `timestamp` is the moment of arrival.
    """

    charger_id: str
    connector_status: str
    timestamp: datetime
    energy_delivered: float | None = None
    power: float | None = None
    temperature: float | None = None
    error_codes: tuple[str, ...] | None = None
    uptime_hours: float | None = None
    total_sessions: int | None = None
    last_maintenance: datetime | None = None
    metadata: Mapping[str, Any] = NO_METADATA
    stated_at: bool = True

    @property
    def in_failure(self) -> bool:
        """Whether the reading itself says that the charger is out of service by a fault."""
        return self.connector_status == "FAULTY"

    def to_wire(self) -> dict[str, Any]:
        """The reading as JSON values (times as epoch seconds), for task messages and stored input."""
        return {
            "charger_id": self.charger_id,
            "connector_status": self.connector_status,
            "timestamp": self.timestamp.timestamp(),
            "energy_delivered": self.energy_delivered,
            "power": self.power,
            "temperature": self.temperature,
            "error_codes": self.error_codes,
            "uptime_hours": self.uptime_hours,
            "total_sessions": self.total_sessions,
            "last_maintenance": self.last_maintenance.timestamp() if self.last_maintenance else None,
            "metadata": self.metadata,
            "stated_at": self.stated_at,
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Reading:
        """The inverse of `to_wire`. Trusts its input: only what this service wrote comes here.

        Fields that a newer release added are ignored and ones it dropped are missing, so that releases
        N and N-1 understand each other.
        """
        codes, serviced = wire.get("error_codes"), wire.get("last_maintenance")
        return cls(
            charger_id=wire["charger_id"],
            connector_status=wire["connector_status"],
            timestamp=datetime.fromtimestamp(wire["timestamp"], UTC),
            energy_delivered=wire.get("energy_delivered"),
            power=wire.get("power"),
            temperature=wire.get("temperature"),
            error_codes=None if codes is None else tuple(codes),
            uptime_hours=wire.get("uptime_hours"),
            total_sessions=wire.get("total_sessions"),
            last_maintenance=None if serviced is None else datetime.fromtimestamp(serviced, UTC),
            metadata=wire.get("metadata") or {},
            stated_at=wire.get("stated_at", True),
        )

    def fingerprint(self) -> str:
        """32 hex digits, equal for equal readings; the moment of arrival does not count as a difference.

        Cached verdicts carry it, so that new metrics never get an old answer.
        """
        wire = self.to_wire()
        if not self.stated_at:
            del wire["timestamp"]
        encoded = orjson.dumps(wire, option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(encoded, digest_size=16).hexdigest()


class Number(fields.Float):
    """A JSON number: no numeric string, no boolean, no NaN or infinity."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        low, high = BOUNDS[name]
        super().__init__(
            allow_none=True, load_default=None, validate=validate.Range(min=low, max=high), **kwargs
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.make_error("special", input=value)
        # Bounds first: an integer of four hundred digits has no float.
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

    default_error_messages = {  # noqa: RUF012 - marshmallow's own protocol
        "invalid": "Not an ISO 8601 date and time since 1970.",
        "invalid_or_epoch": "Not an ISO 8601 date and time since 1970, nor a number of seconds since then.",
    }

    def __init__(self, *, epoch: bool = False, **kwargs: Any) -> None:
        self.epoch = epoch
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            if isinstance(value, str):
                # Python takes any character between date and time; ISO 8601 has T (RFC 3339 also a blank).
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
        raise self.make_error("invalid_or_epoch" if self.epoch else "invalid", input=value)


class Status(fields.String):
    """A connector status in the contract's words or in OCPP 1.6 or 2.0.1 spelling, in any case."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        status = status_of(super()._deserialize(value, attr, data, **kwargs))
        if status is None:
            raise ValidationError("Not a connector status: " + ", ".join(STATUSES) + ", or an OCPP spelling.")
        return status


class ReadingSchema(Schema):
    """Marshmallow schema of one reading; loads to a plain dict that `parse_reading` makes a `Reading`."""

    class Meta:
        unknown = EXCLUDE  # a caller's new field is not this service's error

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
    error_codes = fields.List(
        fields.String(validate=validate.Length(max=MAX_ERROR_CODE_CHARS)),
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
    metadata = fields.Dict(
        keys=fields.String(),
        allow_none=True,
        load_default=dict,
        metadata={"description": "Carried, never scored, except the documented cost inputs."},
    )


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
    if type(status) is not str or status not in _STATUS_AS_WRITTEN:
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
        connector_status=_STATUS_AS_WRITTEN[status],
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
