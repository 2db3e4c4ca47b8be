"""Decode records into readings, and encode verdicts and dead letters. Pure: no Kafka client, no clock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from errors import FieldError, InvalidReading, MalformedBody, ServiceError
from readings.flat_or_envelope import parse_flat_or_enveloped
from readings.parsing import decode_json
from readings.reading import EARLIEST, TENANT_ID_PATTERN, Kind, Reading
from tasks.messaging.messages import HEADLINE_FIELDS, HeadlineScore, ScoreResult, add_fields
from tracing import TRACEPARENT

MAX_REASON_CHARS: Final = 1000
# A dead letter is its record plus some headers, so its topic's limit exceeds Kafka's default of 1 MB.
DEAD_LETTER_MAX_BYTES: Final = 4_000_000
# The broker also counts the length fields of the record and of the batch.
_OVERHEAD_BYTES: Final = 4_096
# The length fields of a header's name and value.
_HEADER_OVERHEAD_BYTES: Final = 10
# The kept parts of a dead letter that is too large for its topic.
KEPT_VALUE_BYTES: Final = 65_536
KEPT_KEY_BYTES: Final = 1_024
KEPT_HEADER_BYTES: Final = 8_192
# Replaced, not repeated, if a replayed dead letter fails again.
DEAD_LETTER_HEADERS: Final = frozenset(
    {
        "x-origin-topic",
        "x-origin-partition",
        "x-origin-offset",
        "x-error-code",
        "x-error-reason",
        "x-attempts",
        "x-origin-length",
        "x-origin-sha256",
    }
)
_TENANT_ID: Final = re.compile(TENANT_ID_PATTERN)


class RecordTooLarge(ServiceError):
    """Raised for a record of more than `KAFKA_MAX_RECORD_BYTES`. `length` and `sha256` are its value's."""

    code = "record_too_large"

    def __init__(self, size_bytes: int, most_bytes: int, value: bytes) -> None:
        self.length = len(value)
        self.sha256 = hashlib.sha256(value).hexdigest()
        super().__init__(f"The record has {size_bytes} bytes, and at most {most_bytes} are processed.")


def kept_headers(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """The first headers, as many as have `KEPT_HEADER_BYTES` together."""
    kept, left = [], KEPT_HEADER_BYTES
    for name, content in headers:
        left -= _header_size(name, content or b"")
        if left < 0:
            break
        kept.append((name, content))
    return kept


class Received(NamedTuple):
    """A consumed record. `recorded_at` is its Kafka timestamp in epoch seconds, None if unknown.

    A tuple, like `Outgoing`, for speed: every reading has one of each.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    recorded_at: float | None = None

    @property
    def event_id(self) -> str:
        """The same id for every attempt at this record, so that readers can drop repeats."""
        return f"{self.topic}:{self.partition}:{self.offset}"

    @property
    def origin(self) -> dict[str, Any]:
        """The fields of an outcome that identify its input record."""
        source = {"topic": self.topic, "partition": self.partition, "offset": self.offset}
        return {"event_id": self.event_id, "source": source}


class Outgoing(NamedTuple):
    """One record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def traced(record: Outgoing, traceparent: str | None) -> Outgoing:
    """The record with this context as its header, which replaces that of the record it came from."""
    if traceparent is None:
        return record
    kept = (header for header in record.headers if header[0] != TRACEPARENT)
    return record._replace(headers=(*kept, (TRACEPARENT, traceparent.encode())))


class Scored(NamedTuple):
    """The values of both verdicts on a record that alerts need, and their JSON. Anomaly may be missing."""

    charger_id: str
    tenant: str | None
    in_failure: bool
    failure_probability: float
    failure: bytes
    is_anomaly: bool | None = None
    anomaly: bytes | None = None
    # The alert threshold of the version that scored it; None if the settings have it.
    alert_at: float | None = None


def read(received: Received, *, now: datetime) -> tuple[Reading, str | None]:
    """Decode the reading in a record, and its tenant.

    A record contains a flat reading, or `{charger_id, metrics, tenant_id|operator_id, timestamp}`. A reading
    without a time gets the record's Kafka timestamp, so that every attempt yields the same reading.

    Raises `MalformedBody` or `InvalidReading`.
    """
    if not received.value:
        raise MalformedBody("The record is empty.")
    document = decode_json(received.value, for_schema=True)
    if not isinstance(document, dict):
        raise InvalidReading([FieldError("", "Must be a JSON object.", "type")])
    tenant = _tenant(document)
    reading = parse_flat_or_enveloped(document, now=now, shared=("charger_id", "timestamp"))
    if not reading.stated_at and received.recorded_at is not None:
        reading = reading._replace(timestamp=_recorded(received.recorded_at, now))
    return reading, tenant


def _recorded(at: float, now: datetime) -> datetime:
    """A record's Kafka timestamp within the bounds of a reading's time: a producer can set any value."""
    if at <= EARLIEST.timestamp():
        return EARLIEST
    return now if at >= now.timestamp() else datetime.fromtimestamp(at, UTC)


def _tenant(document: Mapping[str, Any]) -> str | None:
    for name in ("tenant_id", "operator_id"):
        tenant = document.get(name)
        if tenant is None:
            continue
        if not isinstance(tenant, str) or not _TENANT_ID.match(tenant):
            raise InvalidReading(
                [FieldError(f"/{name}", "Must be 1 to 64 characters of A-Z a-z 0-9 _ -", "range")]
            )
        return tenant
    return None


def scored(reading: Reading, tenant: str | None, failure: ScoreResult, anomaly: ScoreResult | None) -> Scored:
    """The verdicts on a reading. Results of older workers have no headline score, and are decoded.

    Raises `ValueError`, `KeyError` or `TypeError` for an invalid verdict.
    """
    probability = float(_headline_score("failure", failure))
    if anomaly is None:
        return Scored(
            reading.charger_id,
            tenant,
            reading.in_failure,
            probability,
            failure.body,
            alert_at=failure.alert_at,
        )
    is_anomaly = bool(_headline_score("anomaly", anomaly))
    return Scored(
        reading.charger_id,
        tenant,
        reading.in_failure,
        probability,
        failure.body,
        is_anomaly,
        anomaly.body,
        failure.alert_at,
    )


def _headline_score(kind: Kind, answer: ScoreResult) -> HeadlineScore:
    headline_score: HeadlineScore = (
        orjson.loads(answer.body)[HEADLINE_FIELDS[kind]]
        if answer.headline_score is None
        else answer.headline_score
    )
    return headline_score


def prediction(received: Received, verdicts: Scored, *, topic: str) -> Outgoing:
    """The record that is published for a scored reading, keyed by its charger.

    Appends the `origin` fields to the verdict's JSON without encoding the verdict again.
    """
    value = add_fields(verdicts.failure, orjson.dumps(received.origin)[1:-1])
    return Outgoing(topic, verdicts.charger_id.encode(), value)


def dead_letter(received: Received, error: ServiceError, *, attempts: int, topic: str) -> Outgoing:
    """The unchanged record with headers for its origin and error; `shortened` if it is too large."""
    said = {
        "x-origin-topic": received.topic,
        "x-origin-partition": str(received.partition),
        "x-origin-offset": str(received.offset),
        "x-error-code": error.code,
        "x-error-reason": str(error)[:MAX_REASON_CHARS],
        "x-attempts": str(attempts),
    }
    if isinstance(error, RecordTooLarge):
        said |= {"x-origin-length": str(error.length), "x-origin-sha256": error.sha256}
    kept = [(name, value or b"") for name, value in received.headers if name not in DEAD_LETTER_HEADERS]
    added = [(name, text.encode("utf-8", "replace")) for name, text in said.items()]
    # Kafka's client refuses a record that has neither key nor value.
    value = b"" if received.key is None and received.value is None else received.value
    letter = Outgoing(topic, received.key, value, (*kept, *added))
    return letter if _size(letter) <= DEAD_LETTER_MAX_BYTES - _OVERHEAD_BYTES else shortened(letter)


def shortened(letter: Outgoing) -> Outgoing:
    """Shorten a dead letter to about 80 kB: the first 64 kB of its value, with its full length and SHA-256.

    Returns the same object if it is small enough or already shortened. Keeps the producer's headers that fit.
    """
    if _size(letter) <= KEPT_VALUE_BYTES or any(name == "x-origin-length" for name, _ in letter.headers):
        return letter
    value = letter.value or b""
    own, left = [], KEPT_HEADER_BYTES
    for name, content in letter.headers:
        if name in DEAD_LETTER_HEADERS or (left := left - _header_size(name, content)) >= 0:
            own.append((name, content))
    own += [
        ("x-origin-length", str(len(value)).encode()),
        ("x-origin-sha256", hashlib.sha256(value).hexdigest().encode()),
    ]
    key = None if letter.key is None else letter.key[:KEPT_KEY_BYTES]
    return Outgoing(letter.topic, key, value[:KEPT_VALUE_BYTES], tuple(own))


def _size(record: Outgoing) -> int:
    """The size in bytes of key, value and headers, at least the estimate of the producer's client."""
    headers = sum(_header_size(name, content) for name, content in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def _header_size(name: str, content: bytes) -> int:
    return len(name.encode()) + len(content) + _HEADER_OVERHEAD_BYTES
