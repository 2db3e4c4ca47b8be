"""The webhooks in Redis, for all hosts. Secrets are apart from the records, so that no list can have them.

A secret is stored as it is: signing needs it.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal, cast

import orjson
from redis import Redis

from errors import Conflict
from readings.reading import epoch_rfc3339

WEBHOOKS_KEY: Final = "ml:webhooks"
SECRETS_KEY: Final = "ml:webhooks:secrets"
# By webhook id: the reason for which no events are sent any more.
DISABLED_KEY: Final = "ml:webhooks:disabled"
# By webhook id: the next time at which events are due, or at which the lease of its sender ends.
DUE_KEY: Final = "ml:webhooks:due"
# By webhook id: the sender that has the lease.
SENDERS_KEY: Final = "ml:webhooks:senders"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - of Standard Webhooks, and no secret
SECRET_BYTES: Final = 32
# Each webhook may hold a full outbox in Redis.
MAX_WEBHOOKS: Final = 500
PARTS: Final = (
    *("due", "added", "events", "tries", "errors", "parked", "known", "counts", "health", "reached"),
    *("urgent", "later", "told", "digest"),  # of e-mail alone
)
# The target of e-mails (tasks/notify/email_news.py). Ids of webhooks are hexadecimal.
EMAIL_ID: Final = "email"
COUNTS: Final = ("delivered", "failed", "parked", "dropped")

State = Literal["active", "disabled"]


def part_key(webhook_id: str, part: str) -> str:
    """The key of one of `PARTS` of a webhook's outbox."""
    return f"ml:webhook:{webhook_id}:{part}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of events. `tenant` None: events of all tenants, and of none. `created_at` in epoch seconds.

    `reason` is the cause of the state `disabled`.
    """

    webhook_id: str
    url: str
    types: tuple[str, ...]
    tenant: str | None
    created_at: float
    state: State = "active"
    reason: str | None = None

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Webhook:
        """The webhook of a stored record. Fields of newer releases are ignored.

        Raises `KeyError`, `TypeError` or `ValueError` for a record that is none.
        """
        known = {each.name: record[each.name] for each in fields(cls) if each.name in record}
        return cls(**known | {"types": tuple(map(str, known["types"]))})

    def wants(self, event_type: str, tenant: str | None) -> bool:
        """Whether an event of this type and tenant is for this webhook."""
        return self.state == "active" and event_type in self.types and self.tenant in (None, tenant)


@dataclass(frozen=True, slots=True)
class WebhookStatus:
    """The state of a webhook's outbox. `outbox` and `parked_now` are numbers of events, the rest totals.

    `oldest_at` is the time at which the oldest event of the outbox was added or replayed, in epoch seconds.
    """

    outbox: int = 0
    parked_now: int = 0
    oldest_at: float | None = None
    totals: Mapping[str, int] = field(default_factory=dict)


NO_EVENTS: Final = WebhookStatus()


class WebhookStore:
    """The webhooks of one Redis server. Methods block for one command, and raise `redis.RedisError`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def create(self, url: str, types: Sequence[str], tenant: str | None) -> tuple[Webhook, str]:
        """Add a webhook. Returns it and its secret, which is not shown again. Raises `Conflict` if full."""
        if self._redis.hlen(WEBHOOKS_KEY) >= MAX_WEBHOOKS:
            raise Conflict(f"There are {MAX_WEBHOOKS} webhooks already.")
        made = Webhook(secrets.token_hex(8), url, tuple(dict.fromkeys(types)), tenant, time.time())
        secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        self.put(made, secret)
        return made, secret

    def put(self, webhook: Webhook, secret: str) -> None:
        """Add or replace a webhook as it is given."""
        record = {name: value for name, value in asdict(webhook).items() if name not in ("state", "reason")}
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(SECRETS_KEY, webhook.webhook_id, secret)
            pipeline.hset(WEBHOOKS_KEY, webhook.webhook_id, cast(Any, orjson.dumps(record)))
            pipeline.execute()

    def all(self) -> list[Webhook]:
        """Every webhook, the oldest first. Records that cannot be read are left out."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hvals(WEBHOOKS_KEY)
            pipeline.hgetall(DISABLED_KEY)
            records, disabled = pipeline.execute()
        found = []
        for raw in records:
            try:
                webhook = Webhook.of_record(orjson.loads(raw))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            reason = disabled.get(webhook.webhook_id.encode())
            if reason is not None:
                webhook = replace(webhook, state="disabled", reason=reason.decode())
            found.append(webhook)
        return sorted(found, key=lambda each: (each.created_at, each.webhook_id))

    def remove(self, webhook_id: str) -> bool:
        """Delete a webhook with its outbox. Returns whether it was there."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hdel(WEBHOOKS_KEY, webhook_id)
            pipeline.hdel(SECRETS_KEY, webhook_id)
            pipeline.hdel(DISABLED_KEY, webhook_id)
            pipeline.hdel(SENDERS_KEY, webhook_id)
            pipeline.zrem(DUE_KEY, webhook_id)
            pipeline.unlink(*(part_key(webhook_id, part) for part in PARTS))
            return bool(pipeline.execute()[0])

    def remove_of(self, tenant: str) -> int:
        """Delete all webhooks of a tenant, for its erasure. Returns their number."""
        return sum(self.remove(each.webhook_id) for each in self.all() if each.tenant == tenant)

    def statuses(self, webhooks: Sequence[Webhook]) -> list[WebhookStatus]:
        """The states of the outboxes of these webhooks, in order."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for each in webhooks:
                pipeline.zcard(part_key(each.webhook_id, "due"))
                pipeline.zcard(part_key(each.webhook_id, "parked"))
                pipeline.zrange(part_key(each.webhook_id, "added"), 0, 0, withscores=True)
                pipeline.hgetall(part_key(each.webhook_id, "counts"))
            answers = pipeline.execute()
        found = []
        for at in range(0, len(answers), 4):
            outbox, parked, oldest, counts = answers[at : at + 4]
            totals = {name: int(counts.get(name.encode(), 0)) for name in COUNTS}
            found.append(WebhookStatus(outbox, parked, oldest[0][1] if oldest else None, totals))
        return found


def summed(statuses: Sequence[WebhookStatus]) -> WebhookStatus:
    """The state of several outboxes together."""
    oldest = [each.oldest_at for each in statuses if each.oldest_at is not None]
    return WebhookStatus(
        sum(each.outbox for each in statuses),
        sum(each.parked_now for each in statuses),
        min(oldest, default=None),
        {name: sum(each.totals.get(name, 0) for each in statuses) for name in COUNTS},
    )


def webhook_document(webhook: Webhook, status: WebhookStatus) -> dict[str, Any]:
    """The webhook as JSON values, as the HTTP API shows it. It has no secret."""
    return {
        "id": webhook.webhook_id,
        "url": webhook.url,
        "types": list(webhook.types),
        "tenant_id": webhook.tenant,
        "created_at": epoch_rfc3339(webhook.created_at),
        "state": webhook.state,
        "reason": webhook.reason,
        "outbox": status.outbox,
        "parked": status.parked_now,
        "totals": {name: status.totals.get(name, 0) for name in COUNTS},
    }
