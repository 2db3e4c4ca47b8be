"""Decode the envelope in which a backend publishes its chargers' OCPP messages. Pure.

`{eventId, eventType, source, occurredAt, stationId, tenantId, chargePointId, connectorId, ocppVersion,
payload}`: `eventType` names the message, `payload` is the message itself (OCPP 1.6 edition 2, chapter 6; OCPP
2.0.1 part 2). Events are ordered by `occurredAt` alone: the charge points' own clocks may be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from marshmallow import ValidationError

from errors import MalformedBody, ServiceError
from readings.parsing import decode_json
from readings.reading import CHARGER_ID_PATTERN, FUTURE_TOLERANCE, TENANT_ID_PATTERN
from readings.schema_fields import Moment

MAX_NAME_CHARS: Final = 256
# OCPP's integers have 32 bits.
MAX_NUMBER: Final = 2**31 - 1
MAX_DIGITS: Final = len(str(MAX_NUMBER))
_MOMENT: Final = Moment(epoch=True)
_CHARGER_ID: Final = re.compile(CHARGER_ID_PATTERN)
_TENANT_ID: Final = re.compile(TENANT_ID_PATTERN)
_VERSION: Final = re.compile(r"(?:ocpp)?[ _-]?([12])[._]\d")


class InvalidEvent(ServiceError):
    """Raised for an event that violates the envelope or OCPP; `pointer` is the wrong field (RFC 6901)."""

    code = "invalid_event"

    def __init__(self, pointer: str, detail: str) -> None:
        self.pointer = pointer
        super().__init__(f"{pointer or 'event'}: {detail}")


@dataclass(frozen=True, slots=True)
class Event:
    """One OCPP message. `action` consists of lower-case letters and digits.

    `at_us` is `occurredAt` in microseconds since 1970. `connector` is the envelope's, None if it is missing.
    """

    event_id: str
    event_type: str
    action: str
    version: Literal[1, 2]
    at_us: int
    charger_id: str
    tenant: str | None
    connector: int | None
    payload: Mapping[str, Any]


def read_event(value: bytes | None, *, now: datetime) -> Event:
    """Decode the event in a record. `now` is the arrival time. Raises `MalformedBody` or `InvalidEvent`."""
    if not value:
        raise MalformedBody("The record is empty.")
    envelope = decode_json(value)
    if not isinstance(envelope, Mapping):
        raise InvalidEvent("", "Must be a JSON object.")
    event_type = _name(envelope, "eventType")
    payload = envelope.get("payload")
    if not isinstance(payload, Mapping):
        raise InvalidEvent("/payload", "Must be a JSON object.")
    return Event(
        event_id=_name(envelope, "eventId"),
        event_type=event_type,
        action=_action(event_type),
        version=_version(text(envelope, "ocppVersion")),
        at_us=_at_us(envelope.get("occurredAt"), now),
        charger_id=_charger_id(envelope),
        tenant=_tenant(envelope.get("tenantId")),
        connector=number(envelope, "connectorId"),
        payload=payload,
    )


def text(document: Mapping[str, Any], name: str, pointer: str = "") -> str:
    """A required field with a non-blank string, stripped. Raises `InvalidEvent`."""
    found = document.get(name)
    if not isinstance(found, str) or not found.strip():
        raise InvalidEvent(f"{pointer}/{name}", "Must be a string.")
    return found.strip()


def number(document: Mapping[str, Any], name: str, pointer: str = "") -> int | None:
    """The number of a connector or EVSE; None if the field is missing. Raises `InvalidEvent`."""
    found = document.get(name)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) <= MAX_DIGITS:
        found = int(found)
    if found is None or (type(found) is int and 0 <= found <= MAX_NUMBER):
        return found
    raise InvalidEvent(f"{pointer}/{name}", f"Must be a whole number from 0 to {MAX_NUMBER}.")


def _name(envelope: Mapping[str, Any], name: str) -> str:
    """A text with a limited length: it becomes metadata of the reading, whose record has a size limit."""
    found = text(envelope, name)
    if len(found) > MAX_NAME_CHARS:
        raise InvalidEvent(f"/{name}", f"Must be at most {MAX_NAME_CHARS} characters.")
    return found


def _action(event_type: str) -> str:
    """Normalize the message name: `status_notification` and `StatusNotification.req` are equal."""
    plain = re.sub(r"[^a-z0-9]", "", event_type.lower())
    return plain.removesuffix("request").removesuffix("req")


def _version(said: str) -> Literal[1, 2]:
    match = _VERSION.match(said.lower())
    if match is None:
        raise InvalidEvent("/ocppVersion", "Must be an OCPP version like 1.6 or 2.0.1.")
    return 1 if match[1] == "1" else 2


def _at_us(said: Any, now: datetime) -> int:
    try:
        at: datetime = _MOMENT.deserialize(said)
    except ValidationError:
        raise InvalidEvent("/occurredAt", "Must be an ISO 8601 date and time.") from None
    if at > now + FUTURE_TOLERANCE:
        raise InvalidEvent("/occurredAt", "Lies more than 5 minutes in the future of the service's clock.")
    return round(at.timestamp() * 1e6)


def _charger_id(envelope: Mapping[str, Any]) -> str:
    name = "chargePointId" if envelope.get("chargePointId") is not None else "stationId"
    found = text(envelope, name)
    if not _CHARGER_ID.match(found):
        raise InvalidEvent(f"/{name}", "Must be 1 to 128 characters of A-Z a-z 0-9 * _ = : + | @ . -")
    return found


def _tenant(said: Any) -> str | None:
    if said is None:
        return None
    if not isinstance(said, str) or not _TENANT_ID.match(said):
        raise InvalidEvent("/tenantId", "Must be 1 to 64 characters of A-Z a-z 0-9 _ -")
    return said
