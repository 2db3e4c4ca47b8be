"""The wire format of score tasks and their replies.

A message is JSON in a Celery task. A reply is one element of the client's Redis list: a header line, then one
line per reading, in request order. A verdict's line is the JSON body for the caller. The worker encodes it
once, and no later step decodes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final, NamedTuple

import orjson

from readings.reading import Kind, Reading
from tasks.messaging.names import NEWEST_SCHEMA, SCHEMA_VERSION
from tasks.messaging.reading_columns import from_columns, to_columns
from tasks.storage import redis_clock
from tasks.storage.redis_connection import Command

# Error code of all results of a task whose process died or was killed. The client may retry.
TASK_LOST: Final = "task_lost"
# A reply that is not fetched, because its client died, expires after this time.
REPLY_TTL_S: Final = 30

# A reply lives for milliseconds, and clients recover from a lost one. So it is kept out of the append-only
# file, of which replies were a quarter, and off replicas. Servers without `set_repl` replicate it as usual.
_PUSH_REPLY: Final = """
pcall(redis.set_repl, redis.REPL_NONE)
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


class ScoreRequest(NamedTuple):
    """One reading to score. After `expires_at` (epoch seconds) no caller waits for it.

    Without `store`, neither its verdict nor its reading is written anywhere.
    """

    kind: Kind
    tenant: str | None
    reading: Reading
    fingerprint: str
    expires_at: float
    store: bool = True


# A verdict's main value: the 30-day failure probability, or whether the reading is an anomaly.
HeadlineScore = float | bool
HEADLINE_FIELDS: Final[dict[Kind, str]] = {"failure": "failure_probability", "anomaly": "is_anomaly"}


# No probability reaches this threshold.
NO_ALERT: Final = 2.0


class ScoreResult(NamedTuple):
    """The result for one reading: a verdict as JSON, or an error code (`errors.py`) with a message.

    `headline_score` saves decoding the verdict where only its main value is needed. It is None in replies of
    older workers. `alert_at` is the alert threshold of the version that scored the reading, `NO_ALERT` if it
    has none, and None if the settings have it.
    """

    body: bytes = b""
    error_code: str | None = None
    error_detail: str = ""
    headline_score: HeadlineScore | None = None
    alert_at: float | None = None


class NewerSchema(ValueError):
    """Raised for a message of a newer release."""


@dataclass(frozen=True, slots=True)
class ScoreMessage:
    """The readings of one task.

    `store`: whether verdicts of requests with `store` are written to cache and fleet store. `source`: the
    interface that received the readings, for metrics. `sent_at`: epoch seconds of Redis' clock. `traces`: the
    contexts of traced requests or records, each as a W3C `traceparent`.
    """

    batch_id: str
    reply_to: str
    score_requests: Sequence[ScoreRequest]
    source: str
    sent_at: float = field(default_factory=redis_clock.now)
    store: bool = True
    traces: Sequence[str] = ()

    def encode(self) -> dict[str, Any]:
        """The message in schema 1, one JSON object per request."""
        return {
            **self._head(SCHEMA_VERSION),
            "asks": [
                {
                    "kind": request.kind,
                    "tenant": request.tenant,
                    "reading": wire,
                    "fingerprint": request.fingerprint,
                    "expires_at": request.expires_at,
                    **({} if request.store else {"store": False}),
                }
                for request, wire in zip(self.score_requests, _wires(self.score_requests), strict=True)
            ],
        }

    def encode_columns(self) -> dict[str, Any]:
        """The message in schema 2, in a sixth of the bytes. All its requests are stored.

        All readings must have the same kinds, and the requests of one reading must be adjacent. Workers of
        the first schema refuse it. Senders must repeat a lost message with `encode`.
        """
        kinds = [
            request.kind
            for request in self.score_requests
            if request.reading is self.score_requests[0].reading
        ]
        subjects = self.score_requests[:: len(kinds)]
        return {
            **self._head(NEWEST_SCHEMA),
            "kinds": kinds,
            "tenant": [request.tenant for request in subjects],
            "fingerprint": [request.fingerprint for request in subjects],
            "expires_at": [request.expires_at for request in subjects],
            "readings": to_columns([request.reading for request in subjects]),
        }

    def _head(self, schema: int) -> dict[str, Any]:
        head = {
            "v": schema,
            "batch_id": self.batch_id,
            "reply_to": self.reply_to,
            "door": self.source,
            "sent_at": self.sent_at,
            "store": self.store,
        }
        return {**head, "traces": self.traces} if self.traces else head

    @classmethod
    def decode(cls, raw: dict[str, Any]) -> ScoreMessage:
        """Decode either schema. Raises `NewerSchema` for another one, which a newer worker can read."""
        check_version(raw)
        return cls(
            batch_id=raw["batch_id"],
            reply_to=raw["reply_to"],
            source=raw["door"],
            sent_at=raw["sent_at"],
            store=raw["store"],
            traces=raw.get("traces", ()),  # from older senders there are none
            score_requests=list(
                _requests_of_columns(raw) if "readings" in raw else _score_requests(raw["asks"])
            ),
        )


def _wires(score_requests: Iterable[ScoreRequest]) -> Iterator[dict[str, Any]]:
    """Each request's reading as JSON values. Requests of one reading are adjacent and share the values."""
    reading, wire = None, dict[str, Any]()
    for request in score_requests:
        if request.reading is not reading:
            reading, wire = request.reading, request.reading.to_wire()
        yield wire


def _score_requests(wires: Sequence[dict[str, Any]]) -> Iterator[ScoreRequest]:
    for wire, reading in zip(wires, _readings(wires), strict=True):
        yield ScoreRequest(
            kind=wire["kind"],
            tenant=wire["tenant"],
            reading=reading,
            fingerprint=wire["fingerprint"],
            expires_at=wire["expires_at"],
            store=wire.get("store", True),  # older senders store all
        )


def _requests_of_columns(raw: dict[str, Any]) -> Iterator[ScoreRequest]:
    kinds = raw["kinds"]
    readings = from_columns(raw["readings"])
    subjects = zip(raw["tenant"], readings, raw["fingerprint"], raw["expires_at"], strict=True)
    for subject in subjects:
        yield from map(ScoreRequest, kinds, *map(repeat, subject))


def requests_in(raw: dict[str, Any]) -> int:
    """Number of requests in an encoded message."""
    return len(raw["kinds"]) * len(raw["fingerprint"]) if "readings" in raw else len(raw["asks"])


def _readings(score_requests: Iterable[dict[str, Any]]) -> Iterator[Reading]:
    """The inverse of `_wires`: adjacent requests with equal readings share one object."""
    wire, reading = None, None
    for request in score_requests:
        if reading is None or request["reading"] != wire:
            wire = request["reading"]
            reading = Reading.from_wire(wire)
        yield reading


def add_fields(body: bytes, fields: bytes) -> bytes:
    """Append fields to an encoded JSON object, without encoding it again.

    `fields` is an encoded JSON object without its braces. Neither argument may be empty.
    """
    return b"%b,%b}" % (body[:-1], fields)


def check_version(raw: dict[str, Any]) -> None:
    """Raise `NewerSchema` for a message of a schema newer than `NEWEST_SCHEMA`."""
    if raw.get("v", 0) > NEWEST_SCHEMA:
        raise NewerSchema(f"message schema {raw['v']} is newer than this worker's {NEWEST_SCHEMA}")


def encode_reply(batch_id: str, answers: Sequence[ScoreResult]) -> bytes:
    """The reply to a task, with the results in request order."""
    header: dict[str, Any] = {
        "v": SCHEMA_VERSION,
        "batch_id": batch_id,
        "errors": [answer.error_code for answer in answers],
        "gists": [answer.headline_score for answer in answers],
    }
    alert_at = [answer.alert_at for answer in answers]
    if any(at is not None for at in alert_at):
        header["alert_at"] = alert_at
    lines = [orjson.dumps(header)]
    lines += [a.body if a.error_code is None else orjson.dumps(a.error_detail) for a in answers]
    return b"\n".join(lines)  # orjson writes no line breaks


def decode_reply(raw: bytes) -> tuple[str, list[ScoreResult]]:
    """The batch id and its results. Raises `ValueError` for a malformed reply."""
    head, *lines = raw.split(b"\n")
    header = orjson.loads(head)
    codes = header["errors"]
    gists = header.get("gists") or [None] * len(codes)
    alert_at = header.get("alert_at") or [None] * len(codes)
    if len(codes) != len(lines):
        raise ValueError("reply has another number of answers than of readings")
    return header["batch_id"], [
        ScoreResult(line, headline_score=headline_score, alert_at=at)
        if code is None
        else ScoreResult(error_code=code, error_detail=orjson.loads(line))
        for code, line, headline_score, at in zip(codes, lines, gists, alert_at, strict=True)
    ]


def to_reply(address: str, reply: bytes) -> Command:
    """The Redis command that pushes a reply to its client's list."""
    return ("EVAL", _PUSH_REPLY, 1, address, reply, REPLY_TTL_S)
