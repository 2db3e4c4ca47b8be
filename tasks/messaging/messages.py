"""What travels between those who ask for scores and the workers: one task message, one reply.

A message is JSON in a Celery task; a reply is one element of the asker's Redis list, a header line and then
one line per reading, in the order asked. A verdict's line is the JSON body that a caller gets, encoded once
by the worker and never decoded on its way.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final, NamedTuple

import orjson

from readings.reading import Kind, Reading
from tasks.messaging.names import NEWEST_SCHEMA, SCHEMA_VERSION
from tasks.messaging.reading_columns import from_columns, to_columns
from tasks.storage.redis_connection import Command

# The error code of every answer of a task whose process died or was killed: not a verdict, try again.
TASK_LOST: Final = "task_lost"
# A reply that nobody fetches (its asker died) is gone after this long.
REPLY_TTL_S: Final = 30

# A reply lives for milliseconds, and who waits for one that is lost knows what to do: it needs no place in
# the append-only file, of which it was a quarter, nor on replicas. Servers without that choice keep it there.
_PUSH_REPLY: Final = """
pcall(redis.set_repl, redis.REPL_NONE)
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


class ScoreRequest(NamedTuple):
    """One reading to score. `expires_at` (epoch seconds): later than that nobody waits for it."""

    kind: Kind
    tenant: str | None
    reading: Reading
    fingerprint: str
    expires_at: float


# What a verdict says in one word: the 30-day failure probability, or whether it is an anomaly.
HeadlineScore = float | bool
HEADLINE_FIELDS: Final[dict[Kind, str]] = {"failure": "failure_probability", "anomaly": "is_anomaly"}


class ScoreResult(NamedTuple):
    """What became of one reading: a verdict's JSON, or a code of the error tree and a sentence.

    `headline_score` spares those who need no more to decode the verdict; older workers do not tell it.
    """

    body: bytes = b""
    error_code: str | None = None
    error_detail: str = ""
    headline_score: HeadlineScore | None = None


@dataclass(frozen=True, slots=True)
class ScoreMessage:
    """Readings that travel together in one task.

    `store` says whether the verdicts go to cache and fleet store. `source` is the interface that the readings
    came in by, for metrics.
    """

    batch_id: str
    reply_to: str
    score_requests: Sequence[ScoreRequest]
    source: str
    sent_at: float = field(default_factory=time.time)
    store: bool = True

    def encode(self) -> dict[str, Any]:
        return {
            **self._head(SCHEMA_VERSION),
            "asks": [
                {
                    "kind": request.kind,
                    "tenant": request.tenant,
                    "reading": wire,
                    "fingerprint": request.fingerprint,
                    "expires_at": request.expires_at,
                }
                for request, wire in zip(self.score_requests, _wires(self.score_requests), strict=True)
            ],
        }

    def encode_columns(self) -> dict[str, Any]:
        """The same in a sixth of the bytes, for many readings of which the same is asked, side by side.

        Workers of the first schema refuse it: whoever sends it sends again, with `encode`, what gets lost.
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
        return {
            "v": schema,
            "batch_id": self.batch_id,
            "reply_to": self.reply_to,
            "door": self.source,
            "sent_at": self.sent_at,
            "store": self.store,
        }

    @classmethod
    def decode(cls, raw: dict[str, Any]) -> ScoreMessage:
        """Raises `ValueError` for a message of a newer schema: better left to a newer worker."""
        check_version(raw)
        return cls(
            batch_id=raw["batch_id"],
            reply_to=raw["reply_to"],
            source=raw["door"],
            sent_at=raw["sent_at"],
            store=raw["store"],
            score_requests=list(
                _requests_of_columns(raw) if "readings" in raw else _score_requests(raw["asks"])
            ),
        )


def _wires(score_requests: Iterable[ScoreRequest]) -> Iterator[dict[str, Any]]:
    """Each ask's reading as JSON values. Several asks about one reading stand side by side."""
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
        )


def _requests_of_columns(raw: dict[str, Any]) -> Iterator[ScoreRequest]:
    kinds = raw["kinds"]
    readings = from_columns(raw["readings"])
    subjects = zip(raw["tenant"], readings, raw["fingerprint"], raw["expires_at"], strict=True)
    for subject in subjects:
        yield from map(ScoreRequest, kinds, *map(repeat, subject))


def requests_in(raw: dict[str, Any]) -> int:
    """How many answers an encoded message asks for."""
    return len(raw["kinds"]) * len(raw["fingerprint"]) if "readings" in raw else len(raw["asks"])


def _readings(score_requests: Iterable[dict[str, Any]]) -> Iterator[Reading]:
    """The inverse: asks about one reading, side by side, get the same object."""
    wire, reading = None, None
    for request in score_requests:
        if reading is None or request["reading"] != wire:
            wire = request["reading"]
            reading = Reading.from_wire(wire)
        yield reading


def add_fields(body: bytes, fields: bytes) -> bytes:
    """A JSON object with more fields at its end. Joined as text: nothing is encoded twice.

    `fields` is a JSON object without its braces. Neither may be empty.
    """
    return b"%b,%b}" % (body[:-1], fields)


def check_version(raw: dict[str, Any]) -> None:
    if raw.get("v", 0) > NEWEST_SCHEMA:
        raise ValueError(f"message schema {raw['v']} is newer than this worker's {NEWEST_SCHEMA}")


def encode_reply(batch_id: str, answers: Sequence[ScoreResult]) -> bytes:
    header = {
        "v": SCHEMA_VERSION,
        "batch_id": batch_id,
        "errors": [answer.error_code for answer in answers],
        "gists": [answer.headline_score for answer in answers],
    }
    lines = [orjson.dumps(header)]
    lines += [a.body if a.error_code is None else orjson.dumps(a.error_detail) for a in answers]
    return b"\n".join(lines)  # orjson writes no line breaks


def decode_reply(raw: bytes) -> tuple[str, list[ScoreResult]]:
    """The batch id and its answers. Raises `ValueError` for what no worker of ours wrote."""
    head, *lines = raw.split(b"\n")
    header = orjson.loads(head)
    codes = header["errors"]
    gists = header.get("gists") or [None] * len(codes)
    if len(codes) != len(lines):
        raise ValueError("reply has another number of answers than of readings")
    return header["batch_id"], [
        ScoreResult(line, headline_score=headline_score)
        if code is None
        else ScoreResult(error_code=code, error_detail=orjson.loads(line))
        for code, line, headline_score in zip(codes, lines, gists, strict=True)
    ]


def to_reply(address: str, reply: bytes) -> Command:
    """The command that puts a reply on its asker's list."""
    return ("EVAL", _PUSH_REPLY, 1, address, reply, REPLY_TTL_S)
