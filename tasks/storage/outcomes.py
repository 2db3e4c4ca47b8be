"""Reported outcomes of chargers, each with the verdict before it.

An outcome is compared with the newest verdict whose reading is older, by 30 days at most. A failure was
alerted if that verdict recommended action at once or within 7 days. Precision and recall thus cover reported
outcomes and the alerts that operators acted on.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, cast

import orjson
from redis import Redis
from redis.client import Pipeline

from errors import Conflict, UnknownOutcome
from readings.reading import epoch_rfc3339
from settings import Settings
from tasks.storage.fleet import DAY_S, FleetStore
from tasks.storage.redis_connection import connect, tenant_prefix

OutcomeKind = Literal["failed", "repaired", "false_alarm"]
OUTCOMES: Final[tuple[OutcomeKind, ...]] = ("failed", "repaired", "false_alarm")
HORIZON_S: Final = 30 * DAY_S
MAX_KEPT: Final = 10_000
ALERTS: Final = frozenset({"IMMEDIATE", "WITHIN_7_DAYS"})
_BINARY_TIME: Final = struct.Struct(">d")
_IS_OUTCOME_ID: Final = re.compile(r"[0-9a-f]{32}").fullmatch


@dataclass(frozen=True, slots=True)
class Outcome:
    """A charger's outcome, at `occurred_at` (epoch seconds), and the verdict before it, or None.

    `first_id` is the id that the outcome was reported under, once it has been corrected.
    """

    charger_id: str
    outcome: OutcomeKind
    occurred_at: float
    verdict: dict[str, Any] | None
    first_id: str | None = None

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Outcome:
        """The outcome in a stored record. Fields added by newer releases are ignored."""
        return cls(**{each.name: record[each.name] for each in fields(cls) if each.name in record})

    def record(self) -> bytes:
        """The stored form. It is that of the release before, unless the outcome has been corrected."""
        stored = asdict(self)
        if self.first_id is None:
            del stored["first_id"]
        return orjson.dumps(stored)

    @property
    def outcome_id(self) -> str:
        """The id: 32 hexadecimal digits, of the report. Corrections do not change it.

        The first half is the reported time, as a big-endian double. An outcome is found by it, also one that
        an older release has stored.
        """
        if self.first_id is not None:
            return self.first_id
        name = f"{self.charger_id}|{self.outcome}".encode()
        return _BINARY_TIME.pack(self.occurred_at).hex() + hashlib.blake2b(name, digest_size=8).hexdigest()

    @property
    def alerted(self) -> bool:
        """Whether the verdict before the outcome was an alert (one of `ALERTS`)."""
        return self.verdict is not None and self.verdict["recommended_action"] in ALERTS

    def says_the_same(self, other: Outcome) -> bool:
        """Whether both report the same."""
        own = (self.charger_id, self.outcome, self.occurred_at)
        return own == (other.charger_id, other.outcome, other.occurred_at)

    def document(self) -> dict[str, Any]:
        """The outcome as JSON values, as returned by the HTTP API."""
        return {
            "outcome_id": self.outcome_id,
            "charger_id": self.charger_id,
            "outcome": self.outcome,
            "occurred_at": epoch_rfc3339(self.occurred_at),
            "verdict_known": self.verdict is not None,
            "alerted": self.alerted,
        }


class OutcomeStore:
    """Outcomes in one Redis server, the newest 10,000 per tenant. Methods raise `redis.RedisError`.

    A sorted set per tenant has the records by time. A hash has the time by id, for outcomes whose time was
    corrected.
    """

    def __init__(self, settings: Settings, fleet: FleetStore, redis: Redis | None = None) -> None:
        self._redis: Redis = redis or connect(settings.redis_url)
        self._fleet = fleet

    def reported(
        self, tenant: str | None, charger_id: str, outcome: OutcomeKind, occurred_at: float
    ) -> Outcome | None:
        """The stored outcome of an earlier equal report, as it is now; None if there is none."""
        asked = Outcome(charger_id, outcome, occurred_at, None)
        return self._repeated(self._redis, tenant, asked)

    def add(
        self, tenant: str | None, charger_id: str, outcome: OutcomeKind, occurred_at: float
    ) -> tuple[Outcome, bool]:
        """Store an outcome with the newest verdict before it. Returns it, and whether it is new.

        A repeated outcome is stored once, with the verdict of its first report. The same report after a
        correction changes nothing.
        """
        new = Outcome(charger_id, outcome, occurred_at, self._verdict(tenant, charger_id, occurred_at))

        def add_once(pipeline: Pipeline) -> tuple[Outcome, bool]:
            kept = self._repeated(pipeline, tenant, new)
            if kept is not None:
                return kept, False
            pipeline.multi()
            pipeline.zadd(_key(tenant), {new.record(): occurred_at})
            pipeline.zremrangebyrank(_key(tenant), 0, -MAX_KEPT - 1)
            return new, True

        return cast(tuple[Outcome, bool], self._transaction(tenant, add_once))

    def get(self, tenant: str | None, outcome_id: str) -> Outcome:
        """An outcome of the tenant. Raises `UnknownOutcome`."""
        return self._found(self._redis, tenant, outcome_id)[1]

    def correct(
        self,
        tenant: str | None,
        outcome_id: str,
        *,
        outcome: OutcomeKind | None = None,
        occurred_at: float | None = None,
    ) -> Outcome:
        """Change an outcome or its time, and return it. A new time gets the verdict before it.

        Raises `UnknownOutcome`, and `Conflict` if another outcome says the same.
        """

        def replace_once(pipeline: Pipeline) -> Outcome:
            record, old = self._found(pipeline, tenant, outcome_id)
            new = replace(
                old,
                outcome=outcome or old.outcome,
                occurred_at=old.occurred_at if occurred_at is None else occurred_at,
                first_id=outcome_id,
            )
            if new.occurred_at != old.occurred_at:
                verdict = self._verdict(tenant, new.charger_id, new.occurred_at)
                new = replace(new, verdict=verdict)
            for _, other in self._at(pipeline, tenant, new.occurred_at):
                if other.outcome_id != outcome_id and other.says_the_same(new):
                    raise Conflict(f"Outcome {other.outcome_id} says the same.")
            pipeline.multi()
            pipeline.zrem(_key(tenant), record)
            pipeline.zadd(_key(tenant), {new.record(): new.occurred_at})
            pipeline.hset(_moved_key(tenant), outcome_id, repr(new.occurred_at))
            return new

        return cast(Outcome, self._transaction(tenant, replace_once))

    def delete(self, tenant: str | None, outcome_id: str) -> Outcome:
        """Delete an outcome, and return it. Raises `UnknownOutcome`."""

        def delete_once(pipeline: Pipeline) -> Outcome:
            record, old = self._found(pipeline, tenant, outcome_id)
            pipeline.multi()
            pipeline.zrem(_key(tenant), record)
            pipeline.hdel(_moved_key(tenant), outcome_id)
            return old

        return cast(Outcome, self._transaction(tenant, delete_once))

    def erase(self, tenant: str | None, charger_id: str) -> int:
        """Delete all outcomes of a charger. Returns their number."""
        found = [
            (record, outcome)
            for record, outcome in self._records(tenant, 0, -1)
            if outcome.charger_id == charger_id
        ]
        if not found:
            return 0
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zrem(_key(tenant), *(record for record, _ in found))
            pipeline.hdel(_moved_key(tenant), *(outcome.outcome_id for _, outcome in found))
            return int(pipeline.execute()[0])

    def erase_all(self, tenant: str) -> int:
        """Delete all outcomes of a tenant. Returns their number."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zcard(_key(tenant))
            pipeline.unlink(_key(tenant), _moved_key(tenant))
            return int(pipeline.execute()[0])

    def page(
        self, tenant: str | None, charger_id: str | None, *, offset: int, limit: int
    ) -> tuple[list[Outcome], int]:
        """A page of outcomes, the latest first, and how many there are. `charger_id` None: of all."""
        if charger_id is None:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zrevrange(_key(tenant), offset, offset + limit - 1)
                pipeline.zcard(_key(tenant))
                records, total = pipeline.execute()
            return [Outcome.of_record(orjson.loads(record)) for record in records], total
        found = [each for each in reversed(self.kept(tenant)) if each.charger_id == charger_id]
        return found[offset : offset + limit], len(found)

    def kept(self, tenant: str | None) -> list[Outcome]:
        """All stored outcomes of a tenant, oldest first."""
        return [outcome for _, outcome in self._records(tenant, 0, -1)]

    def _verdict(self, tenant: str | None, charger_id: str, occurred_at: float) -> dict[str, Any] | None:
        return self._fleet.newest_before(tenant, charger_id, occurred_at, not_before=occurred_at - HORIZON_S)

    def _transaction(self, tenant: str | None, act: Callable[[Pipeline], object]) -> object:
        keys = (_key(tenant), _moved_key(tenant))
        return self._redis.transaction(cast(Any, act), *keys, value_from_callable=True)

    def _records(self, tenant: str | None, start: int, end: int) -> list[tuple[bytes, Outcome]]:
        records = cast(list[bytes], self._redis.zrange(_key(tenant), start, end))
        return [(record, Outcome.of_record(orjson.loads(record))) for record in records]

    def _at(self, redis: Redis, tenant: str | None, occurred_at: float) -> list[tuple[bytes, Outcome]]:
        records = cast(list[bytes], redis.zrangebyscore(_key(tenant), occurred_at, occurred_at))
        return [(record, Outcome.of_record(orjson.loads(record))) for record in records]

    def _repeated(self, redis: Redis, tenant: str | None, asked: Outcome) -> Outcome | None:
        """The stored outcome that was reported as `asked`, or says the same now."""
        found = self._by_id(redis, tenant, asked.outcome_id)
        if found is not None:
            return found[1]
        same = (each for _, each in self._at(redis, tenant, asked.occurred_at) if each.says_the_same(asked))
        return next(same, None)

    def _by_id(self, redis: Redis, tenant: str | None, outcome_id: str) -> tuple[bytes, Outcome] | None:
        moved = cast(bytes | None, redis.hget(_moved_key(tenant), outcome_id))
        at = float(moved) if moved else _time_of(outcome_id)
        if at is None:
            return None
        found = (each for each in self._at(redis, tenant, at) if each[1].outcome_id == outcome_id)
        return next(found, None)

    def _found(self, redis: Redis, tenant: str | None, outcome_id: str) -> tuple[bytes, Outcome]:
        found = self._by_id(redis, tenant, outcome_id)
        if found is None:
            raise UnknownOutcome(f"No outcome {outcome_id}.")
        return found


def _time_of(outcome_id: str) -> float | None:
    """The time of the first report, of its id; None for text that is no id."""
    if not _IS_OUTCOME_ID(outcome_id):
        return None
    (at,) = _BINARY_TIME.unpack(bytes.fromhex(outcome_id[:16]))
    return at if math.isfinite(at) else None


def _key(tenant: str | None) -> str:
    return f"{tenant_prefix(tenant)}outcomes"


def _moved_key(tenant: str | None) -> str:
    return f"{tenant_prefix(tenant)}outcomes:moved"
