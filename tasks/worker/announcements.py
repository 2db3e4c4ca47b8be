"""Events whose cause is found by looking: ended jobs, changed actions, activated models, drift.

In one worker at a time.

The last state that was announced is stored together with the event. So an event is neither lost nor doubled
by the end of the process, and no request waits for an announcement.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import orjson
from redis import Redis, RedisError

from errors import ServiceError
from models import registry
from readings.reading import epoch_rfc3339
from settings import Settings
from tasks.jobs.job_keys import ENDED_KEY
from tasks.jobs.job_store import JobStore
from tasks.monitoring.drift_counts import DriftReports
from tasks.notify import cloud_events
from tasks.notify.email_news import URGENT, keep_target
from tasks.notify.outbox import Outbox
from tasks.notify.webhook_store import WebhookStore
from tasks.storage import redis_clock
from tasks.storage.alert_records import top_factor
from tasks.storage.fleet import ACTIONS_KEY, newest_key, tenant_of
from tasks.storage.fleet_rows import FleetRow, decode_row
from tasks.storage.redis_connection import Command

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
LOCK_KEY: Final = "ml:webhooks:look"
MODELS_KEY: Final = "ml:webhooks:models"
DRIFT_KEY: Final = "ml:webhooks:drift"
# Of ended jobs, and of changed actions, in one round.
AT_ONCE: Final = 500
# A report reads the counts of a day.
DRIFT_EVERY_S: Final = 60.0
EXPIRE_EVERY_S: Final = 60.0
EMAIL_EVERY_S: Final = 60.0
# No report without enough readings is a change: a new version begins with none.
NOT_JUDGED: Final = "too_few_readings"
STABLE: Final = "stable"


class Announcements:
    """Makes events of what has changed, and sends what is due. Use `look` in one thread."""

    def __init__(self, settings: Settings, redis: Redis, outbox: Outbox, jobs: JobStore) -> None:
        self._redis = redis
        self._outbox = outbox
        self._jobs = jobs
        self._smtp = settings.smtp
        self._webhooks = WebhookStore(redis)
        self._model_dir = settings.model_dir
        self._drift = DriftReports(settings, redis)
        self._next = 0.0
        self._drift_at = 0.0
        self._expire_at = 0.0
        self._email_at = 0.0

    def look(self) -> None:
        """Announce all changes if a look is due, in one process of a Redis. Raises `redis.RedisError`."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LOOK_EVERY_S
        if self._smtp.wanted:  # without the lock: its holder may have no SMTP_HOST
            self._email(now)
        if not self._redis.set(LOCK_KEY, 1, nx=True, px=int(LOOK_EVERY_S * 900)):
            return
        self.ended_jobs()
        self.changed_actions()
        self.models()
        if now >= self._drift_at:
            self._drift_at = now + DRIFT_EVERY_S
            self.drift()
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_EVERY_S
            self._outbox.expire()
        self._outbox.sweep()

    def _email(self, now: float) -> None:
        if now >= self._email_at:
            self._email_at = now + EMAIL_EVERY_S
            keep_target(self._webhooks, self._smtp)
        self._outbox.compose(self._smtp.digest_s)

    def ended_jobs(self) -> None:
        """Announce jobs that have ended since the last look. Thread-safe. Raises `redis.RedisError`."""
        ids = cast(list[bytes], self._redis.srandmember(ENDED_KEY, AT_ONCE))
        found = []
        for job_id in (raw.decode() for raw in ids):
            job = self._jobs.find(job_id)
            if job is not None and job.ended:  # expired, if it is not there
                at = job.finished_at or redis_clock.now()
                found.append(cloud_events.job_ended(job.document(at), at=at))
        if ids:
            self._outbox.refresh()
            self._commit(found, [("SREM", ENDED_KEY, *ids)])

    def changed_actions(self) -> None:
        """Announce chargers whose recommended action has changed. Raises `redis.RedisError`."""
        noted = cast(list[bytes], self._redis.lrange(ACTIONS_KEY, 0, AT_ONCE - 1))
        if noted:
            changes = [change for change in map(_change_of, noted) if change is not None]
            reasons = self._reasons([each for each in changes if each.row.action == URGENT])
            made = [_changed_action(each, reasons.get(each)) for each in changes]
            self._commit(made, [("LREM", ACTIONS_KEY, 1, each) for each in noted])

    def _reasons(self, changes: Sequence[_Change]) -> dict[_Change, str | None]:
        """The strongest reason of each verdict, unless that of a newer reading has replaced it."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for each in changes:
                pipeline.hmget(newest_key(each.tenant, each.charger_id), "at", "body")
            found = pipeline.execute()
        return {
            each: top_factor(orjson.loads(body))
            for each, (at, body) in zip(changes, found, strict=True)
            if at is not None and float(at) == each.row.at
        }

    def models(self) -> None:
        """Announce versions that have become active. The first look at a model announces nothing."""
        known = self._announced(MODELS_KEY)
        for name in registry.NAMES:
            try:
                version = registry.active_version(self._model_dir, name)
            except ServiceError:
                continue
            last = known.get(name)
            if last is not None and last["state"] == version:
                continue
            number = last["number"] + 1 if last else 0
            made = []
            if last is not None:
                previous = str(last["state"])
                made.append(
                    cloud_events.model_activated(
                        name, version, previous=previous, number=number, at=redis_clock.now()
                    )
                )
            self._commit(made, [_announcement(MODELS_KEY, name, version, number)])

    def drift(self) -> None:
        """Announce models whose drift has another level. Without a webhook for it nothing is computed."""
        if not self._outbox.wants("drift.detected"):
            return
        known = self._announced(DRIFT_KEY)
        for name in registry.NAMES:
            try:
                report = self._drift.report(name)
            except (ServiceError, OSError) as error:
                log.debug("no drift of %s: %s", name, error)
                continue
            status, last = str(report["status"]), known.get(name)
            before = str(last["state"]) if last else None
            if status in (NOT_JUDGED, before or STABLE):
                continue
            number = last["number"] + 1 if last else 0
            made = cloud_events.drift_detected(
                report, previous_status=before, number=number, at=redis_clock.now()
            )
            self._commit([made], [_announcement(DRIFT_KEY, name, status, number)])

    def _announced(self, key: str) -> dict[str, dict[str, Any]]:
        """By model: the state that was announced last, and its number."""
        found = cast(dict[bytes, bytes], self._redis.hgetall(key))
        return {name.decode(): orjson.loads(raw) for name, raw in found.items()}

    def _commit(self, made: Sequence[cloud_events.Event], changes: Sequence[Command]) -> None:
        """Store events and what they are made of in one transaction."""
        with self._redis.pipeline(transaction=True) as pipeline:
            for command in (*self._outbox.to_store(made), *changes):
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped there
            pipeline.execute()


def announce_ended(announcements: Announcements) -> None:
    """Announce a job that has just ended, without a wait for the next look. Raises nothing.

    In an outage the job stays noted, and a later look announces it.
    """
    try:
        announcements.ended_jobs()
    except RedisError as error:
        log.debug("ended jobs are announced later: %s", error)


class _Change(NamedTuple):
    """A change of a charger's recommended action. `before` None: it had no verdict before."""

    tenant: str | None
    charger_id: str
    before: FleetRow | None
    row: FleetRow


def _change_of(noted: bytes) -> _Change | None:
    """A noted change; None for a row of another release."""
    key, charger_id, before, now = orjson.loads(noted)
    row = decode_row(now)
    if row is None:
        return None
    return _Change(tenant_of(key), charger_id, decode_row(before) if before else None, row)


def _changed_action(change: _Change, reason: str | None) -> cloud_events.Event:
    row, before = change.row, change.before
    return cloud_events.action_changed(
        change.charger_id,
        row.action,
        before.action if before is not None else None,
        {
            "reading_timestamp": epoch_rfc3339(row.at),
            "failure_probability": row.p30,
            "in_failure": row.in_failure,
            "cost_of_waiting": row.cost_of_waiting,
            "top_factor": reason,
        },
        tenant=change.tenant,
        at=row.at,
    )


def _announcement(key: str, name: str, state: str, number: int) -> Command:
    return ("HSET", key, name, orjson.dumps({"state": state, "number": number}))
