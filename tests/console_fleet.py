"""A small fleet that the console has something of everything to show of: sites, actions, alerts."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any, Final

import httpx
from redis import Redis

from readings.reading import epoch_rfc3339
from tasks.storage.alert_records import AlertChange, AlertRecords, essentials
from tests.processes import settings_for
from tests.readings import metrics

# Text that breaks pages which forget to escape, and spreadsheets that calculate.
HOSTILE: Final = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
FORMULA: Final = '=HYPERLINK("http://x")'
SITES: Final = ("SITE-NORTH", "SITE-SOUTH", HOSTILE)
# Readings of chargers in trouble; the others are well.
TROUBLES: Final[tuple[dict[str, Any], ...]] = (
    {"connector_status": "FAULTY", "error_codes": ["GroundFailure"], "temperature": 64.0},
    {"error_codes": ["OverTemperature", "PowerSwitchFailure"], "temperature": 88.0, "uptime_hours": 2.0},
    {"connector_status": "OFFLINE", "error_codes": ["InternalError"], "power": 0.0},
)


def readings(chargers: int = 30) -> list[dict[str, Any]]:
    """The newest reading of each charger, a minute old."""
    found = []
    for number in range(chargers):
        trouble = TROUBLES[number] if number < len(TROUBLES) else {}
        attributes = {
            "site_id": SITES[number % len(SITES)],
            "vendor": FORMULA if number == 4 else "Voltwerk",
            "model": f"V{number % 3 + 1}",
            "firmware": "2.1.0",
            "rated_power_kw": 50,
            "connector_types": ["CCS2"],
            "installed_at": "2023-05-04",
            "name": HOSTILE if number == 1 else f"Bay {number + 1}",
        }
        found.append(
            metrics(
                f"EVZ-{number + 1:04d}",
                timestamp=epoch_rfc3339(time.time() - 60),
                metadata={"attributes": attributes},
                **trouble,
            )
        )
    return found


def fill(client: httpx.Client, redis_url: str, *, tenant: str | None = None) -> None:
    """Score the fleet's readings through the API, and record two open alerts and a closed one."""
    headers = {} if tenant is None else {"X-Tenant-ID": tenant}
    verdicts = []
    for reading in readings():
        answer = client.post("/api/v1/predictions/failure", json=reading, headers=headers)
        assert answer.status_code == 200, answer.text
        verdicts.append(answer.json())
    settings = settings_for(redis_url)
    with Redis.from_url(redis_url) as redis:
        records = AlertRecords(settings, redis)
        changes = [_opened(verdict, tenant) for verdict in verdicts[:3]]
        closed = replace(changes[2], closed_at=epoch_rfc3339(time.time()), closing=essentials(verdicts[2]))
        for command in records.to_store([*changes, closed]):
            redis.execute_command(*command)


def _opened(verdict: dict[str, Any], tenant: str | None) -> AlertChange:
    charger_id = verdict["charger_id"]
    return AlertChange(
        tenant=tenant,
        alert_id=hashlib.sha256(f"{tenant} {charger_id}".encode()).hexdigest()[:24],
        partition=0,
        kind="failure",
        charger_id=charger_id,
        opened_at=str(epoch_rfc3339(time.time() - 3_600)),
        opened_by="charger.metrics:0:0",
        opening=essentials(verdict),
    )
