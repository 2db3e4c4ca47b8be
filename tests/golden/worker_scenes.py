"""Task messages of 04f6cf5, pushed by hand to a real worker, and its replies."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from redis import Redis

from tests.golden import redis_dump, wire
from tests.golden.model_folder import ACTIVE, DAMAGED
from tests.processes import wait_until

Document = dict[str, Any]
READING: Final = {
    "charger_id": "WIRE-1",
    "connector_status": "CHARGING",
    "timestamp": 1_709_281_800.0,
    "energy_delivered": 18.4,
    "power": 31.0,
    "temperature": 71.0,
    "error_codes": ["HighTemperature"],
    "uptime_hours": 412.0,
    "total_sessions": 5120,
    "last_maintenance": 1_699_574_400.0,
    "metadata": {"costs": {"visit": 900}, "site": "SITE-7"},
    "stated_at": True,
}
COLUMNS: Final = {
    "charger_id": ["WIRE-2", "WIRE-3"],
    "connector_status": ["AVAILABLE", "FAULTY"],
    "timestamp": [1_709_281_800.0, 1_709_281_800.5],
    "temperature": [24.5, None],
    "unknown_column": [1, 2],
}


def scenes(redis: Redis) -> Document:
    """Replies to both forms of score messages, to an expired ask, and to an order to verify."""
    kinds = ("failure", "maintenance", "anomaly")
    score_requests = [
        {
            "kind": kind,
            "tenant": "wire",
            "reading": READING,
            "fingerprint": "a" * 32,
            "expires_at": time.time() + 600,
        }
        for kind in kinds
    ]
    late = {**score_requests[0], "tenant": None, "expires_at": time.time() - 1}
    columns = {
        "kinds": ["failure", "anomaly"],
        "tenant": [None, "wire"],
        "fingerprint": ["b" * 32, "c" * 32],
        "expires_at": [time.time() + 600] * 2,
        "readings": COLUMNS,
    }
    return {
        "score_asks": _scored(
            redis, {"v": 1, "door": "http", "store": False, "asks": score_requests}, "ml.single"
        ),
        "score_expired": _scored(redis, {"v": 1, "door": "http", "store": True, "asks": [late]}, "ml.single"),
        "score_columns": _scored(redis, {"v": 2, "door": "kafka", "store": True, **columns}, "ml.stream"),
        "verify_active": _verified(redis, ACTIVE),
        "verify_damaged": _verified(redis, DAMAGED),
        "verify_unknown": _verified(redis, "nope"),
    }


def _scored(redis: Redis, message: Document, queue: str) -> Document:
    address = f"ml:reply:golden-{queue}"
    whole = {**message, "batch_id": f"golden-{queue}", "reply_to": address, "sent_at": time.time()}
    redis.lpush(queue, wire.task("ml.score", whole, queue))
    wait_until(lambda: bool(redis.exists(address)), what="the worker's reply")
    ttl_s = redis_dump.lifetime_s(int(redis.ttl(address)))
    popped: Any = redis.lpop(address)
    return {"ttl_s": ttl_s, **wire.decoded_reply(popped)}


def _verified(redis: Redis, version: str) -> Document:
    key = f"ml:verify:golden-{version}"
    message = {"v": 1, "reply_key": key, "model": "failure", "version": version}
    redis.lpush("ml.single", wire.task("ml.verify", message, "ml.single"))
    wait_until(lambda: bool(redis.exists(key)), what="the worker's word on a version")
    ttl_s = redis_dump.lifetime_s(int(redis.ttl(key)))
    raw: Any = redis.getdel(key)
    return {"ttl_s": ttl_s, **json.loads(raw)}
