"""Alerts as people see them: list them, read them, acknowledge, assign and mute them.

An action changes the record alone. The consumer opens and closes alerts whatever people do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, cast

import orjson
from redis import Redis
from redis.client import Pipeline

from errors import Conflict, UnknownAlert
from readings.reading import epoch_rfc3339
from settings import Settings
from tasks.storage.alert_records import AlertKind, charger_key, prefix, record_key, story_key
from tasks.storage.alert_scripts import PAGE, STORY_EVENTS
from tasks.storage.redis_connection import connect

AlertState = Literal["open", "closed", "all"]
ALERT_STATES: Final[tuple[AlertState, ...]] = ("open", "closed", "all")
ALERT_ID_PATTERN: Final = "^[0-9a-f]{24}$"
# One list looks through at most so many alerts for those that its filters select.
LOOKED_THROUGH: Final = 2_000
FIELDS: Final = ("kind", "charger_id", "state", "opening", "closing", "acknowledged", "assigned", "muted")
NOTHING: Final = b"null"


class Cursor(NamedTuple):
    """The last alert of a page: its score in the index, and its id."""

    score: int
    alert_id: str

    def __str__(self) -> str:
        return f"{self.score}-{self.alert_id}"


CURSOR_PATTERN: Final = "^[0-9]{1,15}-[0-9a-f]{24}$"


def cursor_of(text: str) -> Cursor:
    """The cursor in a text that matches `CURSOR_PATTERN`."""
    score, _, alert_id = text.partition("-")
    return Cursor(int(score), alert_id)


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Selects alerts. None: any value. `assigned_to` is compared exactly."""

    state: AlertState = "open"
    kind: AlertKind | None = None
    charger_id: str | None = None
    acknowledged: bool | None = None
    assigned_to: str | None = None
    muted: bool | None = None

    @property
    def selects_by_state_alone(self) -> bool:
        """Whether it selects a whole index."""
        return self == AlertFilter(self.state)

    def selects(self, alert: Alert) -> bool:
        """Whether it selects an alert."""
        wanted: list[tuple[object, object]] = [
            (self.state if self.state != "all" else None, alert.state),
            (self.kind, alert.kind),
            (self.charger_id, alert.charger_id),
            (self.acknowledged, alert.acknowledged != NOTHING),
            (self.muted, alert.muted != NOTHING),
        ]
        if any(value not in (None, its) for value, its in wanted):
            return False
        return self.assigned_to is None or self.assigned_to == (orjson.loads(alert.assigned) or {}).get("to")


class Alert(NamedTuple):
    """A record. `opening` and the parts after it are JSON; `NOTHING` for a missing part."""

    alert_id: str
    tenant: str | None
    kind: str
    charger_id: str
    state: str
    opening: bytes
    closing: bytes
    acknowledged: bytes
    assigned: bytes
    muted: bytes

    def document(self, story: list[bytes] | None = None) -> bytes:
        """The alert as JSON, with its story if there is one."""
        opening = orjson.loads(self.opening)
        closing = orjson.loads(self.closing) or {"closed_at": None, "verdict": None}
        found = {
            "alert_id": self.alert_id,
            "tenant_id": self.tenant,
            "kind": self.kind,
            "charger_id": self.charger_id,
            "state": self.state,
            "opened_at": opening["opened_at"] or None,
            "opened_by": opening["opened_by"],
            "closed_at": closing["closed_at"] or None,
            "opening": opening["verdict"],
            "closing": closing["verdict"],
            "acknowledged": orjson.Fragment(self.acknowledged),
            "assigned": orjson.Fragment(self.assigned),
            "muted": orjson.Fragment(self.muted),
        }
        if story is not None:
            found["story"] = [orjson.Fragment(event) for event in story]
        return orjson.dumps(found)


class AlertPage(NamedTuple):
    """A page of alerts. `following` is the cursor of the next one; `total` is None if it is not known."""

    alerts: list[Alert]
    following: Cursor | None
    total: int | None


class AlertStore:
    """The alerts of all tenants in one Redis server. Methods raise `redis.RedisError`.

    `actor` is the name of the key that acts.
    """

    def __init__(self, settings: Settings, redis: Redis | None = None) -> None:
        self._redis: Redis = redis or connect(settings.redis_url)
        self._page = self._redis.register_script(PAGE)

    def page(
        self, tenant: str | None, selected: AlertFilter, *, cursor: Cursor | None, limit: int
    ) -> AlertPage:
        """A page of alerts, the newest first: by closing for `closed`, and by opening otherwise.

        It looks through at most `LOOKED_THROUGH` alerts, so that it may have less than `limit` of them,
        or none, although more follow.
        """
        if selected.charger_id is not None:
            index = charger_key(tenant, selected.charger_id)
        else:
            index = prefix(tenant) + selected.state
        at_once = limit + 1 if selected.selects_by_state_alone else max(limit, LOOKED_THROUGH // 4)
        found: list[Alert] = []
        looked, following = 0, None
        for place, alert in self._after(tenant, index, cursor, at_once):
            if len(found) == limit or looked == LOOKED_THROUGH:
                following = cursor
                break
            cursor, looked = place, looked + 1
            if selected.selects(alert):
                found.append(alert)
        total = self._redis.zcard(index) if selected.selects_by_state_alone else None
        return AlertPage(found, following, total)

    def get(self, tenant: str | None, alert_id: str) -> tuple[Alert, list[bytes]]:
        """An alert and its story, the oldest event first. Raises `UnknownAlert`."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(record_key(tenant, alert_id), *FIELDS)
            pipeline.lrange(story_key(tenant, alert_id), 0, -1)
            values, story = pipeline.execute()
        return _found(tenant, alert_id, values), story

    def acknowledge(self, tenant: str | None, alert_id: str, *, actor: str, note: str | None) -> bool:
        """Note that a person has seen an alert, open or closed. Returns whether that is new.

        Raises `UnknownAlert`.
        """
        said = {"by": actor, "note": note}
        return self._annotate(
            tenant, alert_id, "acknowledged", said, {"event": "acknowledged", "note": note}, actor=actor
        )

    def assign(self, tenant: str | None, alert_id: str, *, actor: str, to: str | None) -> bool:
        """Assign an alert; None ends that. Returns whether it is a change. Raises `UnknownAlert`."""
        said = None if to is None else {"to": to, "by": actor}
        event = {"event": "unassigned"} if to is None else {"event": "assigned", "to": to}
        return self._annotate(tenant, alert_id, "assigned", said, event, actor=actor)

    def mute(self, tenant: str | None, alert_id: str, *, actor: str, until: float, reason: str) -> bool:
        """Mute an open alert until a time (epoch seconds). Returns whether it is a change.

        Raises `UnknownAlert`, and `Conflict` for a closed alert.
        """
        told = {"until": epoch_rfc3339(until), "reason": reason}
        said, event = {**told, "by": actor}, {"event": "muted", **told}
        return self._annotate(tenant, alert_id, "muted", said, event, actor=actor, open_only=True)

    def unmute(self, tenant: str | None, alert_id: str, *, actor: str) -> bool:
        """End the muting of an alert. Returns whether it is a change. Raises `UnknownAlert`."""
        return self._annotate(tenant, alert_id, "muted", None, {"event": "unmuted"}, actor=actor)

    def _annotate(
        self,
        tenant: str | None,
        alert_id: str,
        name: str,
        said: dict[str, Any] | None,
        event: dict[str, Any],
        *,
        actor: str,
        open_only: bool = False,
    ) -> bool:
        """Set a part of a record, or remove it, and tell its story. Nothing is told twice in a row."""
        key, story = record_key(tenant, alert_id), story_key(tenant, alert_id)

        def annotate(pipeline: Pipeline) -> bool:
            # The commands between WATCH and MULTI are carried out at once.
            values = cast(list[bytes | None], pipeline.hmget(key, *FIELDS))
            alert = _found(tenant, alert_id, values)
            if open_only and alert.state != "open":
                raise Conflict(f"Alert {alert_id} is closed. Only an open alert can be muted.")
            held = orjson.loads(getattr(alert, name))
            at = epoch_rfc3339(time.time())
            if said is None:
                if held is None:
                    return False
            elif held is not None and {**held, "at": None} == {**said, "at": None}:
                return False
            left_s = pipeline.ttl(key)
            pipeline.multi()
            if said is None:
                pipeline.hdel(key, name)
            else:
                pipeline.hset(key, name, cast(Any, orjson.dumps({**said, "at": at})))
            pipeline.rpush(story, cast(Any, orjson.dumps({"at": at, "by": actor, **event})))
            pipeline.ltrim(story, -STORY_EVENTS, -1)
            pipeline.expire(story, max(1, left_s))
            return True

        return cast(bool, self._redis.transaction(cast(Any, annotate), key, value_from_callable=True))

    def _after(
        self, tenant: str | None, index: str, cursor: Cursor | None, at_once: int
    ) -> Iterator[tuple[Cursor, Alert]]:
        """The alerts after a cursor, in two round trips for `at_once`.

        Entries without a record are removed from the index.
        """
        while True:
            after = (str(cursor.score), cursor.alert_id) if cursor else ("", "")
            found = cast(list[bytes], self._page(keys=[index], args=[*after, at_once]))
            places = [
                Cursor(int(float(score)), member.decode())
                for member, score in zip(found[::2], found[1::2], strict=True)
            ]
            with self._redis.pipeline(transaction=False) as pipeline:
                for place in places:
                    pipeline.hmget(record_key(tenant, place.alert_id), *FIELDS)
                records = pipeline.execute()
            gone = [
                place.alert_id for place, values in zip(places, records, strict=True) if values[0] is None
            ]
            if gone:
                self._redis.zrem(index, *gone)
            for place, values in zip(places, records, strict=True):
                if values[0] is not None:
                    yield place, _found(tenant, place.alert_id, values)
            if len(places) < at_once:
                return
            cursor = places[-1]


def _found(tenant: str | None, alert_id: str, values: list[bytes | None]) -> Alert:
    """The alert with the values of `FIELDS`. A muting that has ended is left out. Raises `UnknownAlert`."""
    kind, charger_id, state, opening, closing, acknowledged, assigned, muted = values
    if kind is None or charger_id is None or state is None or opening is None:
        raise UnknownAlert(f"No alert {alert_id}.")
    parts = [part or NOTHING for part in (closing, acknowledged, assigned, muted)]
    if muted and datetime.fromisoformat(orjson.loads(muted)["until"]).timestamp() <= time.time():
        parts[-1] = NOTHING
    return Alert(alert_id, tenant, kind.decode(), charger_id.decode(), state.decode(), opening, *parts)
