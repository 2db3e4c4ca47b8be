"""The news that is mailed to people: at once, with the next digest, or not at all.

E-mail is one more target of the outbox, beside the webhooks, with its retries and its parking. A worker with
`SMTP_HOST` adds the target. Every process that makes events then knows of it, without a setting of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
from redis import Redis

from settings.smtp import Smtp
from tasks.messaging.names import Queues
from tasks.notify import email_scripts
from tasks.notify.cloud_events import Event, EventType, event_id
from tasks.notify.webhook_store import EMAIL_ID, Webhook, WebhookStore, part_key
from tasks.storage.redis_connection import MOST_AT_ONCE, Command

TYPES: Final[tuple[EventType, ...]] = ("alert.opened", "alert.closed", "charger.action_changed")
URGENT: Final = "IMMEDIATE"
# Mails at once in a window. More urgent news comes with a digest, which is made within a minute then.
AT_ONCE: Final = 10
WINDOW_S: Final = 600
HURRY_S: Final = 60
# A charger causes one mail at once in this time, unless its alert has closed in between.
TOLD_S: Final = 86_400
# Of urgent news in a digest, and of the rest; the digest counts the others.
MOST_NEWS: Final = 200
SCANNED_AT_ONCE: Final = 100


def to_store(
    events: Sequence[Event],
    *,
    task: bytes,
    max_events: int,
    known_s: int,
) -> list[Command]:
    """The commands that add news of events to the outbox and to the next digest. Events without news: none.

    An action that changes to another one than `IMMEDIATE` is no news: people get alerts.
    """
    news = [(kind, event) for event in events if (kind := _kind(event)) is not None]
    commands: list[Command] = []
    for start in range(0, len(news), MOST_AT_ONCE):
        stored: list[str | bytes] = []
        for kind, event in news[start : start + MOST_AT_ONCE]:
            stored += [kind, _news_id(kind, event), event.stored(), _charger(event)]
        head = (EMAIL_ID, max_events, known_s, task, AT_ONCE, WINDOW_S, HURRY_S, TOLD_S, MOST_NEWS)
        commands.append(("EVAL", email_scripts.ADD_NEWS, 1, Queues.NOTIFY, *head, *stored))
    return commands


def _kind(event: Event) -> str | None:
    """`urgent`, `later` or `closed`; None for an event that is no news."""
    if event.type == "charger.action_changed":
        return "urgent" if event.data["recommended_action"] == URGENT else None
    if event.type == "alert.opened":
        verdict = event.data["verdict"] or {}
        return "urgent" if verdict.get("recommended_action") == URGENT else "later"
    return "closed" if event.data["alert"] == "failure" else "later"


def _news_id(kind: str, event: Event) -> str:
    """An alert that opens and an action that changes by one reading are one news.

    Its time is compared in seconds: the two round milliseconds in different ways.
    """
    if kind != "urgent":
        return event.event_id
    return event_id("urgent", event.tenant, event.charger_id, int(event.at))


def _charger(event: Event) -> str:
    """Stands for the charger where its id must not stay."""
    return event_id("charger", event.tenant, event.charger_id)


def keep_target(store: WebhookStore, smtp: Smtp) -> None:
    """Add the target if e-mails are wanted and it is missing or old. Raises `redis.RedisError`."""
    if not smtp.wanted:
        return
    url = f"smtp://{smtp.host}:{smtp.port}"
    found = next((each for each in store.all() if each.webhook_id == EMAIL_ID), None)
    if found is None or (found.url, found.types) != (url, TYPES):
        at = time.time() if found is None else found.created_at
        store.put(Webhook(EMAIL_ID, url, TYPES, None, at), secret="")  # e-mail has none


def erase_news(redis: Redis, tenant: str | None, charger_id: str | None) -> int:
    """Remove news of a charger, or with no charger of a tenant: what waits, and what is in a digest.

    Returns the number of news. News at once is an event like others, which the outbox removes. Raises
    `redis.RedisError`.
    """
    removed = 0
    for part in ("urgent", "later"):
        key = part_key(EMAIL_ID, part)
        for name, raw in redis.hscan_iter(key, count=SCANNED_AT_ONCE):
            if is_of(orjson.loads(raw), tenant, charger_id):
                removed += redis.hdel(key, name)
    for name, raw in redis.hscan_iter(part_key(EMAIL_ID, "events"), count=SCANNED_AT_ONCE):
        stored = orjson.loads(raw)
        news = stored.get("news", ())
        kept = [each for each in news if not is_of(each, tenant, charger_id)]
        if len(kept) < len(news):
            is_empty = not kept and not stored["left_out"]
            args = (EMAIL_ID, name, b"" if is_empty else orjson.dumps({**stored, "news": kept}))
            removed += (len(news) - len(kept)) * int(redis.eval(email_scripts.REPLACE, 0, *args))
    return removed


def is_of(stored: dict[str, Any], tenant: str | None, charger_id: str | None) -> bool:
    """Whether a stored event is of a charger, or with no charger of a tenant."""
    return bool(stored["tenant"] == tenant and charger_id in (None, stored["charger"]))
