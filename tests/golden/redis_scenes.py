"""What is left in Redis: verdicts, fleet, history, outcomes, jobs, and the records of the processes."""

from __future__ import annotations

from typing import Any, Final

import httpx
from redis import Redis

from tests.golden import redis_dump
from tests.golden.http_batches import BATCH, BODY, ended
from tests.golden.readings import FAULTY, LEAST, ORDINARY, request_of, without_time

TENANT: Final = {"X-Tenant-ID": "store"}
SHARED_KEYS: Final = (
    "ml:workers",
    "ml:consumers",
    "ml:models:*",
    "ml:jobs:open",
    "ml:drift:*",
    "_kombu.binding.*",
)

# Written by the clock, whatever is called meanwhile. Those that last stand with the processes.
BY_THE_WAY: Final = (
    "ml:drift:",
    "ml:jobs:recovery",
    "ml:webhooks:look",
    "ml:webhooks:models",
    "ml:tenant:acme:dead_letters",  # looks, by the heartbeat
)


def scenes(client: httpx.Client, redis: Redis) -> dict[str, Any]:
    """Keys by the call that leaves them, each call with a charger of its own; then those of the processes."""
    found: dict[str, Any] = {}

    def keep(name: str, call: Any) -> None:
        before = redis_dump.keys_of(redis)
        call()
        found[name] = redis_dump.dump(redis, redis_dump.keys_of(redis) - before)
        found[name] = {key: value for key, value in found[name].items() if not key.startswith(BY_THE_WAY)}

    for kind in ("failure", "maintenance", "anomaly"):
        body = request_of(without_time(ORDINARY, f"STORE-{kind}"))
        keep(
            f"{kind}_of_a_tenant",
            lambda kind=kind, body=body: _post(client, f"/api/v1/predictions/{kind}", body),
        )
    old = request_of({**FAULTY, "charger_id": "STORE-old"})
    keep(
        "failure_of_an_old_reading",
        lambda: client.post("/api/v1/predictions/failure", json=old).raise_for_status(),
    )
    outcome = {"charger_id": "STORE-failure", "outcome": "failed", "occurred_at": "2024-03-01T08:30:00Z"}
    keep("outcome", lambda: _post(client, "/api/v1/outcomes", outcome))
    stored = {"chargers": [{**LEAST, "charger_id": "STORE-batch"}]}
    keep("batch_stored", lambda: _batch(client, f"{BATCH}?kind=all", stored, {}))
    once = {"Idempotency-Key": "golden-store"}
    keep("batch_with_failed_row", lambda: _batch(client, f"{BATCH}?store=false", BODY, once))
    found["processes"] = {}
    for pattern in SHARED_KEYS:
        names: Any = redis.keys(pattern)
        found["processes"] |= redis_dump.dump(redis, names)
    # How often workers were asked to look again depends on how fast they were.
    found["processes"]["ml:models:generation"]["value"] = "<count>"
    consumers = found["processes"]["ml:consumers"]
    consumers["value"] = {record["role"]: record for record in consumers["value"].values()}
    return found


def _post(client: httpx.Client, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return client.post(path, json=body, headers={**TENANT, **headers}).raise_for_status()


def _batch(client: httpx.Client, path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
    ended(client, _post(client, path, body, **headers).json()["job_id"], **TENANT)
