"""The receipt of an erasure: its only result. It holds no id of a charger or a tenant."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from readings.reading import epoch_rfc3339
from settings import Settings
from tasks.jobs.erase_jobs import Target
from tasks.jobs.job_record import Job
from tasks.storage.charger_data import STORES


class Receipt(NamedTuple):
    """What an erasure has deleted. `counts` are by kind of data; `states` by kind of the consumers' state.

    `key_kept`: the key that asked acts for the erased tenant, and was kept to read this.
    """

    job: Job
    target: Target
    counts: Mapping[str, int]
    states: Mapping[str, str]
    key_kept: bool


def receipt_line(receipt: Receipt, settings: Settings) -> bytes:
    """The receipt as the JSON line of its job's result."""
    target = receipt.target
    document = {
        "row": 0,
        "charger_id": None,
        "subject": "tenant" if target.charger_id is None else "charger",
        # Proves to a holder of the id that the receipt is about it.
        "subject_sha256": hashlib.sha256((target.charger_id or target.tenant or "").encode()).hexdigest(),
        "request_id": target.request_id,
        "requested_at": epoch_rfc3339(receipt.job.created_at),
        "erased_at": epoch_rfc3339(time.time()),
        "erased": {name: receipt.counts.get(name, 0) for name in _counted(target)},
        "state": dict(receipt.states),
        "remains": _remains(receipt, settings),
    }
    return orjson.dumps(document)


def failure_line(attempts: int) -> bytes:
    """The result of an erasure that was given up. With no attempts, its target has expired."""
    detail = f"Given up after {attempts} attempts; the worker's log has the errors. Request it again."
    if not attempts:
        detail = "Its target has expired. Request it again."
    return orjson.dumps({"row": 0, "charger_id": None, "error": {"code": "internal", "detail": detail}})


def _counted(target: Target) -> tuple[str, ...]:
    """The kinds of data that are counted. `other` are keys of a tenant of any other kind."""
    if target.charger_id is not None:
        return (*STORES, "job_rows", "events")
    return (*STORES, "jobs", "events", "webhooks", "other", "keys_revoked", "keys_narrowed")


def _remains(receipt: Receipt, settings: Settings) -> list[dict[str, Any]]:
    """The copies that this service cannot delete, or that it keeps, and the time that ends each."""
    inputs = ", ".join(filter(None, (settings.kafka_topic_metrics, settings.kafka_topic_ocpp)))
    outcomes = ", ".join(
        (
            settings.kafka_topic_predictions,
            settings.kafka_topic_dead_letters,
            settings.kafka_topic_failure_alerts,
            settings.kafka_topic_anomalies,
        )
    )
    compacted = f"{settings.kafka_topic_alert_state}, {settings.kafka_topic_ocpp_state}"
    found = [
        (f"Kafka input topics ({inputs}); unread records are scored as new readings", "their retention.ms"),
        (f"Kafka outcome topics ({outcomes})", "their retention.ms"),
        (f"older records of Kafka's compacted topics ({compacted})", "compaction, after segment.ms"),
        (f"tombstones in these topics ({compacted})", "delete.retention.ms after compaction"),
    ]
    found += [
        (
            f"{state} state in Kafka: no consumer has erased it yet",
            "a consumer runs again and erases it first",
        )
        for state, status in receipt.states.items()
        if status != "erased"
    ]
    found += [
        ("Redis append-only files", "their next rewrite"),
        ("backups of Redis and Kafka", "you delete them"),
        (
            "audit log: the path of this request, and ids of alerts, in Redis and in AUDIT_LOG",
            "10,000 newer entries; the file stays",
        ),
        ("log lines and traces", "your retention of them"),
        ("uploads that were never completed", "10 minutes after their last part"),
        (
            "counts for drift, shadow versions and metrics, without ids",
            "30 days, and your retention of metrics",
        ),
        ("results, verdicts and models that were fetched or trained before", "you delete them"),
        ("events that webhooks have delivered before, and one under way", "their receivers delete them"),
        ("this job and its receipt, without the id", "expires_at of the job"),
    ]
    if receipt.target.charger_id is None:
        found.append(("the list of this tenant's erasures", "48 hours after the last job"))
    if receipt.key_kept:
        found.append(
            ("the key that asked, so that it can read this receipt", "the job expires, or you revoke it")
        )
    return [{"data": data, "until": until} for data, until in found]
