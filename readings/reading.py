"""One reading of a charger, and the vocabulary and bounds that REST, batches and Kafka records share.

Units are kWh, kW, °C and hours; times are aware UTC datetimes. A missing number is `None`, never zero.
`readings/parsing.py` parses external data into readings.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import orjson

# `(?!\n)`: Python's `$` alone also matches before a trailing newline, ECMAScript's does not.
CHARGER_ID_PATTERN: Final = r"^[A-Za-z0-9*_=:+|@.\-]{1,128}$(?!\n)"
TENANT_ID_PATTERN: Final = r"^[A-Za-z0-9_\-]{1,64}$(?!\n)"
# The predictions for a reading.
Kind = Literal["failure", "maintenance", "anomaly"]
KINDS: Final[tuple[Kind, ...]] = ("failure", "maintenance", "anomaly")

FUTURE_TOLERANCE: Final = timedelta(minutes=5)
MAX_ERROR_CODES: Final = 128
# No charger reported earlier. It also excludes years below 1000, which libraries print differently.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_ERROR_CODE_CHARS: Final = 128
MAX_METADATA_LEVELS: Final = 32
MAX_COSTS_BYTES: Final = 16_384
NO_METADATA: Final[Mapping[str, Any]] = {}
STALE_AFTER_S: Final = 86_400.0  # a verdict of an older reading says so

STATUSES: Final = ("AVAILABLE", "CHARGING", "OCCUPIED", "UNAVAILABLE", "OFFLINE", "FAULTY", "FULLY_CHARGED")

# OCPP 1.6 ChargePointStatus and OCPP 2.0.1 ConnectorStatusEnumType, mapped to the contract's statuses.
# In SuspendedEV the vehicle has stopped the charging, most often because its battery is full.
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


# Decoders join surrogate pairs, so any surrogate in decoded text is lone.
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]").search


def _plain(status: str) -> str:
    return re.sub(r"[\s_-]", "", status).lower()


_STATUS_BY_SPELLING: Final = {_plain(spelling): status for spelling, status in OCPP_STATUSES.items()}
_STATUS_BY_SPELLING.update((_plain(status), status) for status in STATUSES)
STATUS_AS_WRITTEN: Final = {status: status for status in STATUSES} | OCPP_STATUSES


def status_of(text: str) -> str | None:
    """The contract's status for any spelling (OCPP 1.6, OCPP 2.0.1, any case); None for an unknown status."""
    return STATUS_AS_WRITTEN.get(text) or _STATUS_BY_SPELLING.get(_plain(text[:64]))


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can encode a text. It cannot encode a lone surrogate, which a JSON escape may contain."""
    return text.isascii() or _LONE_SURROGATE(text) is None


# Lower and upper bound of each number, in the contract's units. The upper bounds are beyond the largest
# chargers (3,750 kW) and below typical values in smaller units (W, Wh). No plausible value is refused.
BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "energy_delivered": (0.0, 10_000.0),
    "power": (0.0, 5_000.0),
    "temperature": (-60.0, 200.0),
    "uptime_hours": (0.0, 1e6),
    "total_sessions": (0, 1e9),
}
# The unit of each number, and the unit that a number above its bound is probably in; empty for counts.
UNITS: Final[dict[str, tuple[str, str]]] = {
    "energy_delivered": ("kWh", "Wh"),
    "power": ("kW", "W"),
    "temperature": ("°C", "K"),
    "uptime_hours": ("h", "s"),
    "total_sessions": ("", ""),
}


def rfc3339(moment: datetime) -> str:
    """Format an aware time by RFC 3339, in UTC with milliseconds and Z. The texts sort like the times."""
    # `isoformat` takes four times as long. orjson omits the decimals of whole seconds.
    text = orjson.dumps(moment.astimezone(UTC))[1:-1]
    return (text[:23] if moment.microsecond else text[:19] + b".000").decode() + "Z"


def epoch_rfc3339(seconds: float | None) -> str | None:
    """Format epoch seconds by `rfc3339`; None for None."""
    return None if seconds is None else rfc3339(datetime.fromtimestamp(seconds, UTC))


class Reading(NamedTuple):
    """The state of one charger at one time. A tuple: creating a frozen dataclass takes six times as long.

    `energy_delivered` kWh in the current or last session, `power` kW, `temperature` °C, `uptime_hours` h,
    `total_sessions` a count. `error_codes` is `None` if the reading has no such field, and empty if the
    charger reports no error. `metadata` holds only `costs` and `attributes`. `stated_at` is false if the
    sender gave no time: `timestamp` is then the arrival time.
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
        """Whether the charger reports that it is out of service because of a fault."""
        return self.connector_status == "FAULTY"

    def to_wire(self) -> dict[str, Any]:
        """The reading as JSON values, with times as epoch seconds. For task messages and stored input."""
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
        """The inverse of `to_wire`. Does not validate: use it only for data that this service wrote.

        Unknown fields are ignored and optional fields may be missing, so that releases N and N-1 can read
        each other's messages.
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
        """32 hexadecimal digits, equal for equal readings. An arrival time as the timestamp is left out.

        Cached verdicts contain it, so a changed reading never gets a cached verdict.
        """
        wire = self.to_wire()
        if not self.stated_at:
            del wire["timestamp"]
        encoded = orjson.dumps(wire, option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(encoded, digest_size=16).hexdigest()
