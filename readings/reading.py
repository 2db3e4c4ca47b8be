"""One reading of a charger, and the words and bounds of the contract that REST bodies, batch rows and Kafka
records share.

Units are those of the contract: kWh, kW, °C, hours; times are aware UTC datetimes. A missing number is
`None`, never zero. What comes from outside becomes a reading in `readings/parsing.py`.
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
# What can be asked about a reading.
Kind = Literal["failure", "maintenance", "anomaly"]
KINDS: Final[tuple[Kind, ...]] = ("failure", "maintenance", "anomaly")

FUTURE_TOLERANCE: Final = timedelta(minutes=5)
MAX_ERROR_CODES: Final = 128
# Before that no charger reported anything; it also keeps years below 1000 out, which nothing prints alike.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_ERROR_CODE_CHARS: Final = 128
MAX_METADATA_LEVELS: Final = 32
MAX_COSTS_BYTES: Final = 16_384
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


# Decoders join both halves of a pair.
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]").search


def _plain(status: str) -> str:
    return re.sub(r"[\s_-]", "", status).lower()


_STATUS_BY_SPELLING: Final = {_plain(spelling): status for spelling, status in OCPP_STATUSES.items()}
_STATUS_BY_SPELLING.update((_plain(status), status) for status in STATUSES)
STATUS_AS_WRITTEN: Final = {status: status for status in STATUSES} | OCPP_STATUSES


def status_of(text: str) -> str | None:
    """The contract's word for a status as it was spelt; None if it is none."""
    return STATUS_AS_WRITTEN.get(text) or _STATUS_BY_SPELLING.get(_plain(text[:64]))


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can encode a text: a JSON escape may name half of a surrogate pair, which it cannot."""
    return text.isascii() or _LONE_SURROGATE(text) is None


# Lower and upper physical bound of each number. The upper ones only keep typing errors and other units
# out (a million kWh in one session, a century of uptime), so that nothing plausible is refused.
BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "energy_delivered": (0.0, 1e6),
    "power": (0.0, 1e5),
    "temperature": (-60.0, 200.0),
    "uptime_hours": (0.0, 1e6),
    "total_sessions": (0, 1e9),
}


def rfc3339(moment: datetime) -> str:
    """An aware time in UTC with three decimals and Z, so that texts sort like the times they name."""
    # `isoformat` takes four times as long. Without decimals orjson writes none.
    text = orjson.dumps(moment.astimezone(UTC))[1:-1]
    return (text[:23] if moment.microsecond else text[:19] + b".000").decode() + "Z"


def epoch_rfc3339(seconds: float | None) -> str | None:
    """`rfc3339` of epoch seconds. None for none."""
    return None if seconds is None else rfc3339(datetime.fromtimestamp(seconds, UTC))


class Reading(NamedTuple):
    """What one charger said at one moment. A tuple, for a frozen dataclass takes six times as long to make.

    `energy_delivered` kWh in the current or last session, `power` kW, `temperature` °C, `uptime_hours` h,
    `total_sessions` a count. `error_codes` is `None` where the charger reports none of its own accord, and
    empty where it reports that there is no error. Of `metadata` only the part is held that is read: `costs`.
    `stated_at` is false where the sender named no time, so
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
