"""Messages as kombu's Redis transport stores and reads them, made without it (docs/adr/0003)."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from typing import Any, Final

import orjson
from redis import Redis

from tasks.storage.redis_connection import Command

PERSISTENT: Final = 2
TRANSIENT: Final = 1
EVENT_EXCHANGE: Final = "celeryev"
EVENT_KEY: Final = "task.multi"  # Celery's name for several events in one message


def encoded(body: object) -> str:
    """A body of `message`."""
    return base64.b64encode(orjson.dumps(body)).decode()


def message(
    body: str,
    headers: dict[str, Any],
    properties: dict[str, Any],
    *,
    tag: str,
    key: str,
    exchange: str = "",
    mode: int = PERSISTENT,
) -> bytes:
    """The element of a queue's list, or what is published."""
    return orjson.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                **properties,
                "delivery_mode": mode,
                "delivery_info": {"exchange": exchange, "routing_key": key},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": tag,
            },
        }
    )


def to_tell(redis: Redis, hostname: str, events: Sequence[dict[str, Any]]) -> Command:
    """The command that publishes events of tasks for Flower, on the channel of this database."""
    database = redis.connection_pool.connection_kwargs.get("db", 0)
    news = message(
        encoded(events),
        {"hostname": hostname},
        {},
        tag=str(uuid.uuid4()),
        key=EVENT_KEY,
        exchange=EVENT_EXCHANGE,
        mode=TRANSIENT,
    )
    return ("PUBLISH", f"/{database}.{EVENT_EXCHANGE}/{EVENT_KEY}", news)
