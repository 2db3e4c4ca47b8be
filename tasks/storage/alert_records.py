"""Records of alerts in Redis, for people. The consumer writes them, and `alert_store.py` reads them.

The state of an alert is the consumer's, in Kafka. A record follows it: the consumer writes each change after
its commit. It also repeats all open alerts regularly, which restores lost records. Records of alerts that are
no longer open are closed then. Such a record is "lapsed": the verdict that closed its alert is not known.

Each tenant has a hash and a list of events ("story") per alert. Sorted sets have the ids of open, closed
and all alerts, and of those of each charger. Closed ones are sorted by the time of their record, others by
opening. Each partition of the input topic has a sorted set of open alerts of all tenants, by the time of the
last write.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, cast

import orjson
from redis import Redis

from readings.reading import epoch_rfc3339
from settings import Settings
from tasks.storage import alert_scripts
from tasks.storage.fleet import DAY_S, SLACK
from tasks.storage.redis_connection import Command, for_each, tenant_prefix

# Of one tenant. A record takes about 1.5 kB with its entries in the indexes.
MOST_OPEN: Final = 100_000
MOST_CLOSED: Final = 100_000
# Records of one charger. A charger that flaps does not displace the records of others.
MOST_OF_CHARGER: Final = 1_000
ERASED_AT_ONCE: Final = 500
INDEXES: Final = ("open", "closed", "all")


AlertKind = Literal["failure", "anomaly"]
ALERT_KINDS: Final[tuple[AlertKind, ...]] = ("failure", "anomaly")
# Of a verdict, what a record keeps when the alert opens and when it closes.
KEPT_OF_VERDICT: Final = (
    "reading_timestamp",
    "model_version",
    "failure_probability",
    "in_failure",
    "recommended_action",
    "is_anomaly",
    "anomaly_score",
    "anomaly_type",
)
MAX_FACTOR_CHARS: Final = 200


class AlertId(NamedTuple):
    """Names an alert: its tenant, and its id (24 hexadecimal digits)."""

    tenant: str | None
    alert_id: str


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert that opens, is held open, or closes, as its record is told.

    `partition` is the number of the input partition. `opening` and `closing` are `essentials` of verdicts;
    both are None if they are not known. `closed_at` is None for an open alert. `lapsed`: the alert is not
    open any more, and its closing was not seen.
    """

    tenant: str | None
    alert_id: str
    partition: int
    kind: AlertKind
    charger_id: str
    opened_at: str
    opened_by: str
    opening: bytes | None
    closed_at: str | None = None
    closing: bytes | None = None
    lapsed: bool = False


class Written(NamedTuple):
    """The effect of changes on records. `full`: not stored, because the tenant has too many open alerts.

    `removed`: older closed records that made room.
    """

    opened: int = 0
    closed: int = 0
    full: int = 0
    removed: int = 0


def essentials(verdict: dict[str, Any]) -> bytes:
    """The parts of a verdict that a record keeps, as JSON of at most about 500 bytes."""
    kept: dict[str, Any] = {name: verdict[name] for name in KEPT_OF_VERDICT if name in verdict}
    reason = top_factor(verdict)
    if reason is not None:
        kept["top_factor"] = reason
    return orjson.dumps(kept)


def top_factor(verdict: dict[str, Any]) -> str | None:
    """The strongest reason of a verdict in words, at most 200 characters; None if it has none."""
    factors = verdict.get("top_contributing_factors")
    return str(factors[0].get("text", ""))[:MAX_FACTOR_CHARS] if factors else None


class AlertRecords:
    """The records in one Redis server, for the consumer and for erasures.

    Methods raise `redis.RedisError`, if they ask the server.
    """

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._redis = redis
        self._retention_s = settings.fleet_retention_days * DAY_S

    def to_store(self, changes: Sequence[AlertChange]) -> list[Command]:
        """The commands that store changes, in their order. `written` reads their replies.

        A repeated change has no effect.
        """
        longer = int(self._retention_s * (1 + SLACK))
        limits = [MOST_OPEN, MOST_CLOSED, MOST_OF_CHARGER, alert_scripts.STORY_EVENTS]
        things = [_arguments(change) for change in changes]
        return for_each(alert_scripts.WRITE, [self._retention_s, longer, *limits], things)

    def missing(self, changes: Sequence[AlertChange]) -> list[AlertChange]:
        """Those of the open alerts whose record is missing or lapsed. One round trip."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for change in changes:
                pipeline.hmget(record_key(change.tenant, change.alert_id), "state", "lapsed")
            found = pipeline.execute()
        return [
            change
            for change, (state, lapsed) in zip(changes, found, strict=True)
            if state is None or lapsed is not None
        ]

    def now_ms(self) -> int:
        """The server's time, in milliseconds since 1970."""
        seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def stale(self, partition: int, before_ms: int, limit: int) -> list[AlertChange]:
        """The closings of open records of a partition that were last written before a time of `now_ms`.

        At most `limit`. Entries without a record are removed.
        """
        key = held_key(partition)
        found = self._redis.zrange(key, "-inf", f"({before_ms}", byscore=True, offset=0, num=limit)
        alerts = [_alert_of(member.decode()) for member in cast(list[bytes], found)]
        with self._redis.pipeline(transaction=False) as pipeline:
            for alert in alerts:
                pipeline.hmget(record_key(*alert), "kind", "charger_id", "opening")
            records = pipeline.execute()
        now = epoch_rfc3339(time.time())
        closings, gone = [], []
        for alert, (kind, charger_id, opening) in zip(alerts, records, strict=True):
            if opening is None:
                gone.append(_member(alert))
                continue
            opened = orjson.loads(opening)
            verdict = None if opened["verdict"] is None else orjson.dumps(opened["verdict"])
            closings.append(
                AlertChange(
                    *alert, partition, kind.decode(), charger_id.decode(), opened["opened_at"],
                    opened["opened_by"], verdict, closed_at=now, lapsed=True,
                )
            )  # fmt: skip
        if gone:
            self._redis.zrem(key, *gone)
        return closings

    def exist(self, tenant: str | None, charger_id: str) -> bool:
        """Whether there is a record of the charger."""
        return bool(self._redis.exists(charger_key(tenant, charger_id)))

    def erase(self, tenant: str | None, charger_id: str) -> int:
        """Delete all records of a charger. Returns their number."""
        ids = cast(list[bytes], self._redis.zrange(charger_key(tenant, charger_id), 0, -1))
        erased = self._delete(tenant, [each.decode() for each in ids])
        self._redis.unlink(charger_key(tenant, charger_id))
        return erased

    def erase_all(self, tenant: str, *, until: float) -> tuple[int, bool]:
        """Delete the records of a tenant; their indexes are keys of the tenant, and stay.

        Returns their number, and whether all are deleted. Stops at `until` (`time.monotonic()`).
        """
        erased = 0
        while time.monotonic() < until:
            found = self._redis.zrange(prefix(tenant) + "all", 0, ERASED_AT_ONCE - 1)
            if not found:
                return erased, True
            erased += self._delete(tenant, [each.decode() for each in cast(list[bytes], found)])
        return erased, False

    def _delete(self, tenant: str | None, ids: Sequence[str]) -> int:
        deleted = 0
        for start in range(0, len(ids), ERASED_AT_ONCE):
            some = ids[start : start + ERASED_AT_ONCE]
            with self._redis.pipeline(transaction=False) as pipeline:
                for alert_id in some:
                    pipeline.hget(record_key(tenant, alert_id), "partition")
                partitions = pipeline.execute()
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.unlink(*(record_key(tenant, each) for each in some))
                pipeline.unlink(*(story_key(tenant, each) for each in some))
                for name in INDEXES:
                    pipeline.zrem(prefix(tenant) + name, *some)
                for alert_id, partition in zip(some, partitions, strict=True):
                    if partition is not None:
                        pipeline.zrem(held_key(int(partition)), _member(AlertId(tenant, alert_id)))
                deleted += int(pipeline.execute()[0])
        return deleted


def written(replies: Sequence[Sequence[bytes | int]]) -> Written:
    """The effect of the commands of `to_store`, by their replies."""
    names = [reply for each in replies for reply in each[:-1]]
    removed = sum(int(each[-1]) for each in replies)
    return Written(names.count(b"opened"), names.count(b"closed"), names.count(b"full"), removed)


def _arguments(change: AlertChange) -> tuple[list[str], list[bytes | str | int | float]]:
    opening = {
        "opened_at": change.opened_at,
        "opened_by": change.opened_by,
        "verdict": _fragment(change.opening),
    }
    is_open = change.closed_at is None
    return (
        [prefix(change.tenant), held_key(change.partition)],
        [
            "open" if is_open else "lapse" if change.lapsed else "close",
            change.alert_id,
            _member(AlertId(change.tenant, change.alert_id)),
            change.partition,
            change.kind,
            change.charger_id,
            epoch_ms(change.opened_at),
            orjson.dumps(opening),
            b"" if is_open else _closing(change.closed_at, change.closing),
            _event("opened"),
            b"" if is_open else _event("closed"),
        ],
    )


def _closing(closed_at: str | None, verdict: bytes | None) -> bytes:
    return orjson.dumps({"closed_at": closed_at, "verdict": _fragment(verdict)})


def _fragment(verdict: bytes | None) -> orjson.Fragment | None:
    return None if verdict is None else orjson.Fragment(verdict)


def _event(kind: str) -> bytes:
    """An event of a story that no person caused."""
    return orjson.dumps({"at": epoch_rfc3339(time.time()), "event": kind, "by": None})


def epoch_ms(moment: str) -> int:
    """The time of a reading in milliseconds since 1970; the present for a text that is no time."""
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1000)
    except ValueError:
        return int(time.time() * 1000)


def _member(alert: AlertId) -> str:
    return f"{alert.alert_id}|{alert.tenant or ''}"


def _alert_of(member: str) -> AlertId:
    alert_id, _, tenant = member.partition("|")
    return AlertId(tenant or None, alert_id)


def prefix(tenant: str | None) -> str:
    """The prefix of all keys of a tenant's alerts. Followed by a name of `INDEXES`, the key of that index."""
    return f"{tenant_prefix(tenant)}alerts:"


def record_key(tenant: str | None, alert_id: str) -> str:
    """Key of a record."""
    return f"{prefix(tenant)}record:{alert_id}"


def story_key(tenant: str | None, alert_id: str) -> str:
    """Key of the events of an alert."""
    return f"{prefix(tenant)}story:{alert_id}"


def charger_key(tenant: str | None, charger_id: str) -> str:
    """Key of the alerts of a charger."""
    return f"{prefix(tenant)}charger:{charger_id}"


def held_key(partition: int) -> str:
    """Key of the open alerts of a partition, of all tenants."""
    return f"ml:alerts:held:{partition}"
