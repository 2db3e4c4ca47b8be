"""The outbox: events on their way to webhooks, in Redis. Each event is delivered at least once.

A producer stores an event together with its own data, in one round trip. A webhook's events are due at once,
and after a failed attempt later. After the last attempt an event is parked: it is shown, and can be replayed.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, cast

import orjson
from redis import Redis

from readings.reading import epoch_rfc3339
from tasks.messaging.names import SCHEMA_VERSION, Queues, TaskNames
from tasks.messaging.task_publisher import TaskPublisher
from tasks.notify import email_news, email_scripts, outbox_scripts
from tasks.notify.cloud_events import Event
from tasks.notify.email_news import erase_news, is_of
from tasks.notify.webhook_store import EMAIL_ID, Webhook, WebhookStore, part_key
from tasks.storage.redis_connection import MOST_AT_ONCE, Command

log = logging.getLogger(__name__)

# Delays after failed attempts, about a day in all. The last attempt comes after the last delay.
RETRY_AFTER_S: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 21_600.0)
# Each delay is longer or shorter by up to this share, so that the retries of many events spread.
JITTER: Final = 0.2
# A webhook that pauses has fewer attempts. Its events are parked after this time, whatever their number.
TRIED_FOR_S: Final = 108_000
# Events of one webhook, those that are parked included; about 1 kB each.
MAX_EVENTS: Final = 10_000
# For this long a repeated event is recognised after its delivery.
KNOWN_S: Final = 2 * 86_400
PARKED_FOR_S: Final = 30 * 86_400
# Longer than one attempt, with its name resolution. A dead sender's webhook is free again after it.
LEASE_S: Final = 20.0
# Events that a sender takes at once.
TAKEN_AT_ONCE: Final = 16
# A webhook whose attempts fail this often in a row pauses, for up to the longest pause.
PAUSES_AFTER: Final = 3
MAX_PAUSE_S: Final = 60.0
# Processes know of a new or changed webhook after this time.
KNOWN_WEBHOOKS_S: Final = 2.0
SCANNED_AT_ONCE: Final = 500

Result = Literal["delivered", "retry", "park", "disable"]


class TakenEvent(NamedTuple):
    """An event to send. `tries` is the number of failed attempts."""

    event_id: str
    body: bytes
    tries: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A webhook with the lease that `token` proves, its secret, and its events to send now."""

    webhook: Webhook
    secret: str
    token: str
    events: tuple[TakenEvent, ...]

    def __repr__(self) -> str:
        """The webhook's id: a secret must not reach a log."""
        return f"Taken({self.webhook.webhook_id})"


class Outbox:
    """The outboxes of all webhooks of one Redis server. Methods raise `redis.RedisError`. Thread-safe."""

    def __init__(self, redis: Redis, publisher: TaskPublisher) -> None:
        self._redis = redis
        self._publisher = publisher
        self._store = WebhookStore(redis)
        self._webhooks: list[Webhook] = []
        self._known_until = 0.0
        self._take = redis.register_script(outbox_scripts.TAKE)
        self._settle = redis.register_script(outbox_scripts.SETTLE)
        self._release = redis.register_script(outbox_scripts.RELEASE)
        self._replay = redis.register_script(outbox_scripts.REPLAY)
        self._forget = redis.register_script(outbox_scripts.FORGET)
        self._expire = redis.register_script(outbox_scripts.EXPIRE)
        self._sweep = redis.register_script(outbox_scripts.SWEEP)
        self._compose = redis.register_script(email_scripts.COMPOSE)

    def wants(self, *event_types: str) -> bool:
        """Whether any webhook wants an event of one of these types. As current as `to_store`."""
        return any(each.state == "active" and {*event_types} & {*each.types} for each in self._current())

    def to_store(self, events: Sequence[Event]) -> list[Command]:
        """The commands that add events to the outboxes of the webhooks that want them.

        Send them with the producer's own commands. They also wake a worker. A repeated event is added once.
        Without a webhook that wants one there are none. A webhook counts within 2 s of its creation. Blocks
        for a Redis command every 2 s.
        """
        commands: list[Command] = []
        for webhook in self._current() if events else ():
            wanted = [each for each in events if webhook.wants(each.type, each.tenant)]
            if webhook.webhook_id == EMAIL_ID:
                commands += email_news.to_store(
                    wanted, task=self._task(), max_events=MAX_EVENTS, known_s=KNOWN_S
                )
                continue
            for start in range(0, len(wanted), MOST_AT_ONCE):
                stored: list[str | bytes] = []
                for event in wanted[start : start + MOST_AT_ONCE]:
                    stored += [event.event_id, event.stored()]
                head = (webhook.webhook_id, MAX_EVENTS, KNOWN_S, self._task())
                commands.append(("EVAL", outbox_scripts.ADD, 1, Queues.NOTIFY, *head, *stored))
        return commands

    def compose(self, digest_s: float) -> bool:
        """Make the digest of the news that waits, if the first waits for `digest_s` seconds or is urgent.

        Returns whether one was made. It is one, however many processes call this.
        """
        digest_id = f"digest_{uuid.uuid4().hex}"
        args: list[Any] = [EMAIL_ID, MAX_EVENTS, digest_s, self._task(), digest_id]
        return bool(self._compose(keys=[Queues.NOTIFY], args=args))

    def refresh(self) -> None:
        """Have the next call of `to_store` look up the webhooks, so that one made just now counts."""
        self._known_until = 0.0

    def take(self) -> Taken | None:
        """Lease the webhook that has been due longest, with its due events. None if none is due."""
        token = uuid.uuid4().hex
        answer = cast(list[Any], self._take(keys=[], args=[token, LEASE_S, TAKEN_AT_ONCE]))
        if not answer:
            return None
        webhook_id, record, secret, *rest = answer
        events = []
        for event_id, stored, tries in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
            try:
                found = orjson.loads(stored)
                body = stored if "news" in found else found["body"].encode()  # a digest, or an event
            except (ValueError, KeyError, TypeError, AttributeError):
                log.error("event %s cannot be read and is dropped", event_id.decode())
                self._forget(keys=[], args=[webhook_id, event_id])
                continue
            events.append(TakenEvent(event_id.decode(), body, int(tries)))
        webhook = Webhook.of_record(orjson.loads(record))
        return Taken(webhook, secret.decode(), token, tuple(events))

    def settle(
        self,
        taken: Taken,
        event: TakenEvent,
        *,
        delivered: bool,
        error: str,
        unwanted: bool,
        hopeless: bool = False,
    ) -> bool:
        """Note the result of an attempt. Returns whether the sender may send the next event.

        `unwanted`: the webhook is disabled, and all its events are parked. Otherwise a failed event is due
        again later, or parked after its last attempt. `hopeless`: this was the last one.
        """
        result: Result = "delivered"
        delay_s = 0.0
        if unwanted:
            result = "disable"
        elif not delivered and not hopeless and event.tries < len(RETRY_AFTER_S):
            result, delay_s = "retry", RETRY_AFTER_S[event.tries] * random.uniform(1 - JITTER, 1 + JITTER)
        elif not delivered:
            result = "park"
        args: list[Any] = [
            taken.webhook.webhook_id,
            taken.token,
            LEASE_S,
            event.event_id,
            result,
            error,
            delay_s,
        ]
        return bool(self._settle(keys=[], args=[*args, PAUSES_AFTER, MAX_PAUSE_S, TRIED_FOR_S]))

    def reached(self, event: TakenEvent) -> list[str]:
        """The recipients of an e-mail who have it, by `email_sending.name_of`."""
        raw = self._redis.hget(part_key(EMAIL_ID, "reached"), event.event_id)
        return cast(list[str], orjson.loads(cast(bytes, raw))) if raw else []

    def note_reached(self, event: TakenEvent, names: Sequence[str]) -> None:
        """Note the recipients who have an e-mail, while others do not."""
        key = part_key(EMAIL_ID, "reached")
        self._redis.hset(key, event.event_id, cast(Any, orjson.dumps([*names])))

    def release(self, taken: Taken) -> None:
        """Give the lease back. The webhook is due again with its next event."""
        self._release(keys=[], args=[taken.webhook.webhook_id, taken.token])

    def replay(self, webhook_id: str, event_id: str | None = None) -> int:
        """Send parked events again, all or one, and enable the webhook. Returns their number."""
        return cast(int, self._replay(keys=[Queues.NOTIFY], args=[webhook_id, self._task(), event_id or ""]))

    def failures(self, webhook_id: str, *, offset: int, limit: int) -> tuple[list[bytes], int]:
        """Encoded events that have failed, parked ones first, and how many there are.

        An event waits for its next attempt or is parked.
        """
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zrange(part_key(webhook_id, "parked"), 0, -1)
            pipeline.hgetall(part_key(webhook_id, "tries"))
            parked, tries = pipeline.execute()
        is_parked = dict.fromkeys(parked, True)
        names = [*parked, *sorted(name for name in tries if name not in is_parked)]
        some = names[offset : offset + limit]
        if not some:
            return [], len(names)
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(part_key(webhook_id, "events"), some)
            pipeline.hmget(part_key(webhook_id, "errors"), some)
            pipeline.zmscore(part_key(webhook_id, "due"), some)
            events, errors, due = pipeline.execute()
        rows = zip(some, events, errors, due, strict=True)
        return [
            _failure(name.decode(), event, error, due_at, int(tries.get(name, 0)), parked=name in is_parked)
            for name, event, error, due_at in rows
            if event is not None
        ], len(names)

    def erase(self, tenant: str | None, charger_id: str | None = None) -> int:
        """Remove the events of a charger, or with no charger those of a tenant. Returns their number.

        The webhooks of all tenants are searched, and the news for e-mails.
        """
        removed = erase_news(self._redis, tenant, charger_id)
        for webhook in self._store.all():
            cursor = 0
            while True:
                cursor, found = cast(
                    tuple[int, dict[bytes, bytes]],
                    self._redis.hscan(part_key(webhook.webhook_id, "events"), cursor, count=SCANNED_AT_ONCE),
                )
                names = [name for name, raw in found.items() if is_of(orjson.loads(raw), tenant, charger_id)]
                if names:
                    removed += cast(int, self._forget(keys=[], args=cast(Any, [webhook.webhook_id, *names])))
                if not cursor:
                    break
        return removed

    def sweep(self) -> bool:
        """Wake a worker for due events, and for those of a lost sender or task. Returns if any is due."""
        return bool(self._sweep(keys=[Queues.NOTIFY], args=[self._task()]))

    def expire(self) -> int:
        """Drop events that were parked more than 30 days ago, a few of each webhook. Returns their number."""
        return sum(
            cast(int, self._expire(keys=[], args=[each.webhook_id, PARKED_FOR_S]))
            for each in self._store.all()
        )

    def _current(self) -> Sequence[Webhook]:
        now = time.monotonic()
        if now >= self._known_until:
            self._webhooks = self._store.all()
            self._known_until = now + KNOWN_WEBHOOKS_S
        return self._webhooks

    def _task(self) -> bytes:
        return self._publisher.message(TaskNames.DELIVER, {"v": SCHEMA_VERSION}, queue=Queues.NOTIFY)


def _failure(
    event_id: str, raw: bytes, error: bytes | None, due_at: float | None, tries: int, *, parked: bool
) -> bytes:
    stored = orjson.loads(raw)
    return orjson.dumps(
        {
            "event_id": event_id,
            "type": stored["type"],
            "tenant_id": stored["tenant"],
            "time": epoch_rfc3339(stored["at"]),
            "state": "parked" if parked else "waiting",
            "attempts": tries,
            "error": None if error is None else error.decode(errors="replace"),
            "next_attempt_at": None if parked else epoch_rfc3339(due_at),
        }
    )
