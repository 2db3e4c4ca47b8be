"""What travels between those who ask for scores and the workers: one task message, one reply.

A message is JSON in a Celery task; a reply is one element of the asker's Redis list, a header line and then
one line per reading, in the order asked. A verdict's line is the JSON body that a caller gets, encoded once
by the worker and never decoded on its way.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from models.reading import Kind, Reading
from tasks.names import SCHEMA_VERSION

# The error code of every answer of a task whose process died or was killed: not a verdict, try again.
TASK_LOST: Final = "task_lost"


@dataclass(frozen=True, slots=True)
class Ask:
    """One reading to score. `expires_at` (epoch seconds): later than that nobody waits for it."""

    kind: Kind
    tenant: str | None
    reading: Reading
    fingerprint: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one reading: a verdict's JSON, or a code of the error tree and a sentence."""

    body: bytes = b""
    error_code: str | None = None
    error_detail: str = ""


@dataclass(frozen=True, slots=True)
class ScoreMessage:
    """Readings that travel together in one task.

    `store` says whether the verdicts go to cache and fleet store. `door` is where they came in, for metrics.
    """

    batch_id: str
    reply_to: str
    asks: Sequence[Ask]
    door: str
    sent_at: float = field(default_factory=time.time)
    store: bool = True

    def encode(self) -> dict[str, Any]:
        return {
            "v": SCHEMA_VERSION,
            "batch_id": self.batch_id,
            "reply_to": self.reply_to,
            "door": self.door,
            "sent_at": self.sent_at,
            "store": self.store,
            "asks": [
                {
                    "kind": ask.kind,
                    "tenant": ask.tenant,
                    "reading": ask.reading.to_wire(),
                    "fingerprint": ask.fingerprint,
                    "expires_at": ask.expires_at,
                }
                for ask in self.asks
            ],
        }

    @classmethod
    def decode(cls, raw: dict[str, Any]) -> ScoreMessage:
        """Raises `ValueError` for a message of a newer schema: better left to a newer worker."""
        check_version(raw)
        return cls(
            batch_id=raw["batch_id"],
            reply_to=raw["reply_to"],
            door=raw["door"],
            sent_at=raw["sent_at"],
            store=raw["store"],
            asks=[
                Ask(
                    kind=ask["kind"],
                    tenant=ask["tenant"],
                    reading=Reading.from_wire(ask["reading"]),
                    fingerprint=ask["fingerprint"],
                    expires_at=ask["expires_at"],
                )
                for ask in raw["asks"]
            ],
        )


def check_version(raw: dict[str, Any]) -> None:
    if raw.get("v", 0) > SCHEMA_VERSION:
        raise ValueError(f"message schema {raw['v']} is newer than this worker's {SCHEMA_VERSION}")


def encode_reply(batch_id: str, answers: Sequence[Answer]) -> bytes:
    header = {"v": SCHEMA_VERSION, "batch_id": batch_id, "errors": [a.error_code for a in answers]}
    lines = [orjson.dumps(header)]
    lines += [a.body if a.error_code is None else orjson.dumps(a.error_detail) for a in answers]
    return b"\n".join(lines)  # orjson writes no line breaks


def decode_reply(raw: bytes) -> tuple[str, list[Answer]]:
    """The batch id and its answers. Raises `ValueError` for what no worker of ours wrote."""
    head, *lines = raw.split(b"\n")
    header = orjson.loads(head)
    codes = header["errors"]
    if len(codes) != len(lines):
        raise ValueError("reply has another number of answers than of readings")
    return header["batch_id"], [
        Answer(body=line) if code is None else Answer(error_code=code, error_detail=orjson.loads(line))
        for code, line in zip(codes, lines, strict=True)
    ]
