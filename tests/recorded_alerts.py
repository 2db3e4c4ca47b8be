"""Alerts as the consumer records them, for tests."""

from __future__ import annotations

import hashlib
from typing import Final

from readings.reading import epoch_rfc3339
from tasks.storage.alert_records import AlertChange, AlertKind, essentials

BEGAN: Final = 1_790_000_000
VERDICT: Final = {
    "charger_id": "EVZ-1",
    "reading_timestamp": "2026-11-20T08:30:00.000Z",
    "failure_probability": 0.91,
    "recommended_action": "IMMEDIATE",
    "in_failure": False,
    "model_version": "v1",
    "top_contributing_factors": [{"text": "temperature 81 °C"}, {"text": "second"}],
}


def opened(charger: str, tenant: str | None = None, at: int = 0, kind: AlertKind = "failure") -> AlertChange:
    alert_id = hashlib.blake2b(f"{charger}{tenant}{at}{kind}".encode(), digest_size=12).hexdigest()
    moment = epoch_rfc3339(BEGAN + at) or ""
    return AlertChange(tenant, alert_id, 0, kind, charger, moment, f"in:0:{at}", essentials(VERDICT))


def closed(change: AlertChange) -> AlertChange:
    return AlertChange(
        change.tenant, change.alert_id, change.partition, change.kind, change.charger_id, change.opened_at,
        change.opened_by, change.opening, closed_at=epoch_rfc3339(BEGAN + 999), closing=essentials(VERDICT),
    )  # fmt: skip
