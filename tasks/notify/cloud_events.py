"""Event types, and the CloudEvents 1.0 documents of events (JSON, structured mode).

An event's id is made of its cause. An event that is made twice has the same id, and is delivered once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from readings.reading import epoch_rfc3339

EventType = Literal[
    "alert.opened",
    "alert.closed",
    "job.ended",
    "model.activated",
    "drift.detected",
    "charger.action_changed",
]
TYPES: Final[tuple[EventType, ...]] = (
    "alert.opened",
    "alert.closed",
    "job.ended",
    "model.activated",
    "drift.detected",
    "charger.action_changed",
)
SOURCE: Final = "/evzone-ml-service"
SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/cloudevents+json"
ID_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `at` is in epoch seconds. `subject` names the resource: a charger, job, alert or model.

    `tenant` None: the event belongs to no tenant, and goes to webhooks of all tenants only. `charger_id` is
    set if the event has data of this charger, which an erasure of the charger removes.
    """

    event_id: str
    type: EventType
    at: float
    subject: str
    data: Mapping[str, Any]
    tenant: str | None = None
    charger_id: str | None = None

    def document(self) -> bytes:
        """The CloudEvents document. `tenantid` is an extension attribute; it is absent without a tenant."""
        tenant = {} if self.tenant is None else {"tenantid": self.tenant}
        return orjson.dumps(
            {
                "specversion": SPEC_VERSION,
                "id": self.event_id,
                "source": SOURCE,
                "type": self.type,
                "time": epoch_rfc3339(self.at),
                "subject": self.subject,
                "datacontenttype": "application/json",
                **tenant,
                "data": self.data,
            }
        )

    def stored(self) -> bytes:
        """The event as the outbox stores it. Tenant and charger are beside the body, for their erasure."""
        return orjson.dumps(
            {
                "tenant": self.tenant,
                "charger": self.charger_id,
                "type": self.type,
                "at": self.at,
                "body": self.document().decode(),
            }
        )


def event_id(prefix: str, *cause: str | float | None) -> str:
    """An id made of the cause of an event. The same cause has the same id.

    The cause is hashed: a charger id must not stay in ids after its erasure, and an id has no dots, as
    Standard Webhooks demands.
    """
    digest = hashlib.sha256(orjson.dumps(cause)).hexdigest()
    return f"{prefix}_{digest[:ID_CHARS]}"


def job_ended(job: Mapping[str, Any], *, at: float) -> Event:
    """The event of a job that has succeeded, failed or been cancelled. `job` is its document.

    It has no rows and no row errors, which may name chargers.
    """
    names = ("job_id", "kind", "status", "total", "done", "failed", "created_at", "started_at", "finished_at")
    data = {name: job[name] for name in names}
    tenant = job["tenant_id"]
    job_id = str(job["job_id"])
    return Event(event_id("job", job_id), "job.ended", at, job_id, data | {"tenant_id": tenant}, tenant)


def model_activated(name: str, version: str, *, previous: str, number: int, at: float) -> Event:
    """The event of a model version that became active in place of `previous`.

    `number` counts the activations of the model: a version may become active more than once.
    """
    data = {"name": name, "version": version, "previous_version": previous}
    return Event(event_id("model", name, version, number), "model.activated", at, name, data)


def drift_detected(
    report: Mapping[str, Any], *, previous_status: str | None, number: int, at: float
) -> Event:
    """The event of a model with another drift status than before. `report` is the new one.

    `previous_status` None: no report was judged before. `number` counts the changes of the model.
    """
    name, status = str(report["name"]), str(report["status"])
    data = {
        "name": name,
        "version": report["version"],
        "window": report["window"],
        "status": status,
        "previous_status": previous_status,
        "readings": report["readings"],
    }
    return Event(event_id("drift", name, status, number), "drift.detected", at, name, data)


def alert_opened(
    alert_id: str, charger_id: str, data: Mapping[str, Any], *, tenant: str | None, at: float
) -> Event:
    """The event of an alert that was opened. `data` is the alert's document."""
    return _of_alert("alert.opened", alert_id, charger_id, data, tenant=tenant, at=at)


def alert_closed(
    alert_id: str, charger_id: str, data: Mapping[str, Any], *, tenant: str | None, at: float
) -> Event:
    """The event of an alert that was closed. `data` is the alert's document."""
    return _of_alert("alert.closed", alert_id, charger_id, data, tenant=tenant, at=at)


def _of_alert(
    event_type: EventType,
    alert_id: str,
    charger_id: str,
    data: Mapping[str, Any],
    *,
    tenant: str | None,
    at: float,
) -> Event:
    """An event of an alert. An alert that is opened again has another time, and so another event id."""
    known = {"alert_id": alert_id, "charger_id": charger_id, "tenant_id": tenant}
    its_id = event_id("alert", event_type, tenant, alert_id, at)
    return Event(its_id, event_type, at, alert_id, {**data, **known}, tenant, charger_id)


def action_changed(
    charger_id: str,
    action: str,
    previous: str | None,
    data: Mapping[str, Any],
    *,
    tenant: str | None,
    at: float,
) -> Event:
    """The event of a charger whose recommended action has changed.

    `at` is the time of the reading that caused it. `data` has further fields of the verdict. `previous` None:
    the charger had no verdict before.
    """
    known = {
        "charger_id": charger_id,
        "tenant_id": tenant,
        "recommended_action": action,
        "previous_action": previous,
    }
    its_id = event_id("action", tenant, charger_id, action, at)
    return Event(its_id, "charger.action_changed", at, charger_id, {**data, **known}, tenant, charger_id)
