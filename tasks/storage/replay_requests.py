"""Requests to the consumers: put dead letters back on their topic. The results are stored with them.

A request stays in Redis until a consumer has carried it out, so it also reaches one that starts later. One
hash, a field per request.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, fields, replace
from typing import Final, Literal, cast

import orjson
from redis import Redis

from errors import Conflict
from tasks.storage import redis_clock

REQUESTS_KEY: Final = "ml:dlq:requests"
# Of requests that have not ended, and of those that the page shows.
MOST_OPEN: Final = 10
MOST_KEPT: Final = 20
REQUESTS_KEPT_S: Final = 7 * 86_400

State = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """One request: all dead letters with `code`, or the one of the record `origin` (TOPIC:PARTITION:OFFSET).

    `sent` were put back, and `left_out` were not: replayed before, or only their beginning was kept. Times
    are in epoch seconds. `detail` is the reason of a failure, a sentence.
    """

    request_id: str
    asked_at: float
    code: str | None = None
    origin: str | None = None
    state: State = "waiting"
    sent: int = 0
    left_out: int = 0
    detail: str = ""
    ended_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("waiting", "running")


def _decoded(line: bytes) -> ReplayRequest:
    """The request of a stored line. Fields that a newer release has added are left out."""
    known = {field.name for field in fields(ReplayRequest)}
    return ReplayRequest(**{name: value for name, value in orjson.loads(line).items() if name in known})


class ReplayRequests:
    """The requests in one Redis server. Methods raise `redis.RedisError`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, *, code: str | None = None, origin: str | None = None) -> ReplayRequest:
        """Store a request. Raises `Conflict` if the same one is open, or too many are."""
        found = self.newest()
        still_open = [each for each in found if each.is_open]
        if any((each.code, each.origin) == (code, origin) for each in still_open):
            raise Conflict("The same replay was asked for already, and has not ended.")
        if len(still_open) >= MOST_OPEN:
            raise Conflict(f"{MOST_OPEN} replays wait for a consumer already.")
        request = ReplayRequest(uuid.uuid4().hex, redis_clock.now(), code, origin)
        self.update(request)
        ended = [each.request_id for each in found if not each.is_open]
        if len(found) >= MOST_KEPT:
            self._redis.hdel(REQUESTS_KEY, *ended[MOST_KEPT - 1 - len(still_open) :])
        return request

    def update(self, request: ReplayRequest) -> None:
        """Store the present state of a request."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(REQUESTS_KEY, request.request_id, cast(str, orjson.dumps(asdict(request))))
            pipeline.expire(REQUESTS_KEY, REQUESTS_KEPT_S)
            pipeline.execute()

    def newest(self) -> list[ReplayRequest]:
        """The stored requests, the newest first."""
        lines = cast(list[bytes], self._redis.hvals(REQUESTS_KEY))
        found = [_decoded(line) for line in lines]
        return sorted(found, key=lambda each: each.asked_at, reverse=True)

    def next_open(self) -> ReplayRequest | None:
        """The oldest request that has not ended; None if there is none."""
        return next((each for each in reversed(self.newest()) if each.is_open), None)

    def end(self, request: ReplayRequest, *, problem: str = "") -> None:
        """Store that a request has ended, with the reason of a failure."""
        state: State = "failed" if problem else "done"
        self.update(replace(request, state=state, detail=problem, ended_at=redis_clock.now()))
