"""The task that erases a charger or a tenant, step by step. Each step may be repeated.

A step deletes all that it finds. The last step begins after the jobs of the tenant have ended, and after the
consumers have erased their state. Requests that were under way can then store nothing more.
Consumers that do not run, or do not answer in time, erase their state later; the receipt says so.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import metrics
import tracing
from tasks.jobs.chunks import MAX_ATTEMPTS, Counted
from tasks.jobs.erase_jobs import CHUNK, Target
from tasks.jobs.job_erasure import JobErasure
from tasks.jobs.job_keys import index_key
from tasks.jobs.job_limits import limit_keys
from tasks.jobs.job_record import Job
from tasks.messaging.messages import check_version
from tasks.messaging.names import Queues, TaskNames
from tasks.messaging.task_publisher import SENT_AT
from tasks.monitoring.service_health import living_consumers
from tasks.notify.webhook_store import WebhookStore
from tasks.storage import redis_clock
from tasks.storage.alert_records import AlertRecords
from tasks.storage.api_keys import KeyStore
from tasks.storage.charger_data import ChargerData
from tasks.storage.dead_letter_looks import DeadLetterLooks
from tasks.storage.outcomes import OutcomeStore
from tasks.storage.redis_connection import OUTAGES, connect
from tasks.storage.state_erasures import STATE_BY_ROLE, StateErasures
from tasks.storage.tenant_data import erase_tenant_keys
from tasks.worker.announcements import announce_ended
from tasks.worker.app import app, settings
from tasks.worker.receipt import Receipt, failure_line, receipt_line
from tasks.worker.runtime import Runtime, current

log = logging.getLogger(__name__)

# A step ends after this time, and the next one goes on.
STEP_S: Final = 15.0
# Beyond the deadline of a single prediction: work that has begun then is finished and stored.
SETTLED_AFTER_S: Final = 2.0
# Living consumers have this long to erase their state. They look once a second.
CONSUMERS_HAVE_S: Final = 30.0
PENDING: Final = "pending"
ERASED: Final = "erased"
# The cursor of a SCAN that has ended in the last step.
SCANNED: Final = "scanned"
NEXT_STEP: Final = "its next step"


@app.task(name=TaskNames.ERASE, ignore_result=True, acks_late=True, reject_on_worker_lost=True)
def erase(raw: dict[str, Any]) -> None:
    """Run one step of an erasure: `{v, job_id}`. The target is in Redis.

    Raises `redis.RedisError` in an outage. The job stays open, and is sent again.
    """
    check_version(raw)
    runtime = current()
    job_id = str(raw["job_id"])
    request = erase.request
    redelivered = bool((request.delivery_info or {}).get("redelivered"))
    with runtime.chunks.started(job_id, CHUNK, task_id=request.id or "", redelivered=redelivered) as attempt:
        job = runtime.jobs.find(job_id)
        if job is None or job.ended:
            runtime.erasures.close(job_id)  # expired, or ended by a worker that died right after
            return
        if not attempt:
            return  # leased to another worker
        target = runtime.erasures.target(job_id)
        if target is None or attempt > MAX_ATTEMPTS:
            _end(runtime, job, failure_line(MAX_ATTEMPTS if target else 0), failed=1)
            return
        if attempt > 1:
            metrics.REPEATED_TASKS.labels(queue=Queues.BATCH).inc()
        step = _Step(runtime, job, target)
        seen: tracing.Attributes = {
            "messaging.destination.name": Queues.BATCH,
            "celery.task_id": request.id or "",
            "evzone.job_id": job_id,
            "evzone.attempt": attempt,
        }
        sent_at = request.get(SENT_AT, redis_clock.now())
        waited_s = max(0.0, redis_clock.now() - sent_at)
        try:
            with tracing.task(TaskNames.ERASE, [job.trace], waited_s=waited_s, attributes=seen):
                waiting_for = step.run()
        except OUTAGES as error:
            log.warning("erasure %s: Redis cannot be reached: %s", job_id, error)
            runtime.erasures.explain(job_id, "Redis, or the Redis of the cache")
            raise
        if waiting_for is not None:
            runtime.erasures.pause(job_id, waiting_for)
            return
        _end(runtime, job, receipt_line(step.receipt(), settings), failed=0)


def _end(runtime: Runtime, job: Job, line: bytes, *, failed: int) -> None:
    counted = runtime.chunks.finish(job.job_id, CHUNK, [line], failed=failed, errors=[])
    runtime.erasures.close(job.job_id)
    if counted is Counted.LAST:
        metrics.JOBS.labels(status="ended").inc()
        announce_ended(runtime.announcements)
        log.info("erasure %s has %s", job.job_id, "failed" if failed else "ended")


class _Step:
    """One step of an erasure. Methods raise `redis.RedisError`."""

    def __init__(self, runtime: Runtime, job: Job, target: Target) -> None:
        self._runtime = runtime
        self._redis = runtime.redis
        self._job = job
        self._target = target
        self._until = time.monotonic() + STEP_S
        self._outcomes = OutcomeStore(settings, runtime.fleet, runtime.redis)
        self._alerts = AlertRecords(settings, runtime.redis)
        self._states = StateErasures(runtime.redis)
        self._webhooks = WebhookStore(runtime.redis)
        self._jobs = JobErasure(runtime.redis, runtime.jobs)
        self._servers = {"main": runtime.redis}
        if settings.redis_cache_url != settings.redis_url:
            self._servers["cache"] = connect(settings.redis_cache_url)

    def run(self) -> str | None:
        """Delete all that is there. Returns the reason for which another step is needed, or None."""
        noted = self._runtime.erasures.steps(self._job.job_id)
        if "asked" not in noted:
            self._ask_consumers()
        is_last = "last" in noted
        waiting_for = None if is_last else self._waiting_for()
        if waiting_for is None and not is_last:
            # All is scanned once more from the start.
            begun = {"last": 1, **{f"cursor:{name}": 0 for name in self._servers}}
            self._note(begun, {})
            noted |= {name: str(value) for name, value in begun.items()}
        rest = self._erase_charger(noted) if self._target.charger_id else self._erase_tenant(noted)
        return waiting_for or rest

    def _ask_consumers(self) -> None:
        """Request the erasure of state, once: a completed request must not come again."""
        target, job_id = self._target, self._job.job_id
        self._runtime.erasures.note(
            job_id,
            {"asked": 1},
            {},
            also=lambda pipeline: self._states.request(pipeline, job_id, target.tenant, target.charger_id),
        )

    def receipt(self) -> Receipt:
        """The receipt after the last step."""
        noted = self._runtime.erasures.steps(self._job.job_id)
        counts = {
            name.removeprefix("count:"): int(value)
            for name, value in sorted(noted.items())
            if name.startswith("count:")
        }
        states = {
            state: PENDING if self._states.is_pending(role, self._job.job_id) else ERASED
            for role, state in STATE_BY_ROLE.items()
        }
        return Receipt(self._job, self._target, counts, states, key_kept="key_kept" in noted)

    def _waiting_for(self) -> str | None:
        """The reason for which this step cannot be the last one."""
        age_s = self._age_s()
        if self._target.charger_id:
            before = self._jobs.jobs_before(self._target.tenant, self._job.created_at)
            running = sum(not job.ended for job in before)
            if running:
                return f"{running} jobs of the tenant, which were accepted before and may have the charger"
        if age_s < settings.sync_timeout_s + SETTLED_AFTER_S:
            return "requests that were under way"
        if age_s < CONSUMERS_HAVE_S:
            living = {record.get("role") for record in living_consumers(self._redis)}
            late = [
                state
                for role, state in STATE_BY_ROLE.items()
                if role in living and self._states.is_pending(role, self._job.job_id)
            ]
            if late:
                return f"the consumers' state: {', '.join(late)}"
        return None

    def _age_s(self) -> float:
        seconds, micros = self._redis.time()
        return seconds + micros / 1e6 - self._job.created_at

    def _erase_charger(self, noted: dict[str, str]) -> str | None:
        tenant, charger_id = self._target.tenant, self._target.charger_id or ""
        for job in self._jobs.jobs_before(tenant, self._job.created_at):
            if not job.ended or f"job:{job.job_id}" in noted:
                continue
            rows, complete = self._jobs.erase_rows(job, charger_id, until=self._until)
            self._note({f"job:{job.job_id}": 1} if complete else {}, {"job_rows": rows})
            if time.monotonic() >= self._until:
                return NEXT_STEP
        data = ChargerData(
            self._redis, self._runtime.cache, self._outcomes, self._runtime.attributes, self._alerts
        )
        self._note({}, data.erase(tenant, charger_id))
        self._runtime.fleet.forget_actions(tenant, charger_id)
        self._note({}, {"events": self._runtime.outbox.erase(tenant, charger_id)})
        return None

    def _erase_tenant(self, noted: dict[str, str]) -> str | None:
        tenant = self._target.tenant or ""
        ends_at = time.time() + settings.job_retention_s
        keys = KeyStore(self._redis).withdraw(tenant, asked_by=self._target.key_id, until=ends_at)
        kept = {"key_kept": 1} if keys.asking_kept else {}
        self._note(kept, {"keys_revoked": keys.revoked, "keys_narrowed": keys.narrowed})
        for job in self._jobs.jobs_before(tenant, self._job.created_at):
            self._jobs.delete(job)
            self._note({}, {"jobs": 1})
            if time.monotonic() >= self._until:
                return NEXT_STEP
        self._note({}, {"outcomes": self._outcomes.erase_all(tenant)})
        self._note({}, {"webhooks": self._webhooks.remove_of(tenant)})
        self._runtime.fleet.forget_actions(tenant)
        self._note({}, {"events": self._runtime.outbox.erase(tenant)})
        self._note({}, {"attributes": self._runtime.attributes.erase_all(tenant)})
        DeadLetterLooks(self._redis).erase(tenant, None)
        alerts, complete = self._alerts.erase_all(tenant, until=self._until)
        self._note({}, {"alerts": alerts})
        if not complete:
            return NEXT_STEP
        for name, server in self._servers.items():
            field = f"cursor:{name}"
            if noted.get(field) == SCANNED:
                continue
            # The index lists this job, and perhaps jobs that were accepted later.
            cursor, deleted = erase_tenant_keys(
                server, tenant, cursor=int(noted.get(field, 0)), until=self._until, keep=[index_key(tenant)]
            )
            ended = SCANNED if "last" in noted and not cursor else cursor
            self._note({field: ended}, Counter(deleted))
            if cursor:
                return NEXT_STEP
        self._redis.unlink(*limit_keys(tenant))
        return None

    def _note(self, fields: Mapping[str, str | int], counts: Mapping[str, int]) -> None:
        self._runtime.erasures.note(self._job.job_id, fields, counts)
