"""The scripts of e-mail against a plain model: mails at once, news that waits, digests, erasure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final, cast
from unittest import mock

import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from settings.smtp import Smtp
from tasks.messaging.names import Queues
from tasks.notify import email_news, outbox
from tasks.notify.cloud_events import Event, action_changed, alert_closed, alert_opened, event_id
from tasks.notify.outbox import Outbox
from tasks.notify.webhook_store import (
    DUE_KEY,
    EMAIL_ID,
    SECRETS_KEY,
    WEBHOOKS_KEY,
    WebhookStore,
    part_key,
)
from tests.integration.lua_models import TENANTS, ComparedWithRedis, Scores, check
from tests.services import RunningServer

pytestmark = pytest.mark.timeout(600)  # a counterexample is made shorter for minutes

# Small, so that full windows, digests and outboxes are frequent.
NEWS: Final = {"AT_ONCE": 2, "WINDOW_S": 600, "HURRY_S": 60, "TOLD_S": 7_200, "MOST_NEWS": 2}
OUTBOX: Final = {"MAX_EVENTS": 4, "KNOWN_S": 7_200}
DIGEST_S: Final = 3_600
WAKES: Final = 4
WAKE: Final = b"wake"
SMTP: Final = Smtp(host="mail", sender="ml@example.com", recipients=("a@example.com",), digest_s=DIGEST_S)
CHARGERS: Final = ("%d:*", "two", "three", "four")
KINDS: Final = ("urgent", "later", "closed", "anomaly", "changed", "calmed")
chargers, tenants = st.sampled_from(CHARGERS), st.sampled_from(TENANTS)
moments = st.sampled_from([1_000.0, 1_000.25, 2_000.0])


def made(kind: str, charger: str, tenant: str | None, at: float) -> Event:
    data: dict[str, Any] = {"alert": "anomaly" if kind == "anomaly" else "failure", "verdict": None}
    if kind in ("changed", "calmed"):
        action = "IMMEDIATE" if kind == "changed" else "NONE"
        return action_changed(charger, action, None, {}, tenant=tenant, at=at)
    if kind == "closed":
        return alert_closed(f"a-{charger}", charger, data, tenant=tenant, at=at)
    if kind == "urgent":
        data["verdict"] = {"recommended_action": "IMMEDIATE"}
    return alert_opened(f"a-{charger}", charger, data, tenant=tenant, at=at)


class EmailScripts(ComparedWithRedis):
    """News of a few chargers, digests, and a sender that delivers all that is due."""

    def __init__(self) -> None:
        super().__init__()
        publisher = SimpleNamespace(message=lambda task, message, queue: WAKE)
        self.outbox = Outbox(self.redis, cast(Any, publisher))
        self.store = WebhookStore(self.redis)
        self.add_the_target()

    def table(self, key: str) -> dict[str, Any]:
        return cast(dict[str, Any], self.model.setdefault(key, {}))

    def scores(self, key: str) -> Scores:
        return cast(Scores, self.model.setdefault(key, Scores()))

    def part(self, part: str) -> dict[str, Any]:
        key = part_key(EMAIL_ID, part)
        return self.scores(key) if part in ("due", "added", "parked", "known", "told") else self.table(key)

    def count(self, name: str, number: int = 1) -> None:
        self.part("counts")[name] = self.part("counts").get(name, 0) + number

    @property
    def is_there(self) -> bool:
        return EMAIL_ID in self.table(WEBHOOKS_KEY)

    @rule()
    def add_the_target(self) -> None:
        """Again, too: nothing changes."""
        email_news.keep_target(self.store, SMTP)
        self.table(WEBHOOKS_KEY)[EMAIL_ID] = self.redis.hget(WEBHOOKS_KEY, EMAIL_ID)
        self.table(SECRETS_KEY)[EMAIL_ID] = b""
        self.outbox.refresh()

    @rule()
    def remove_the_target(self) -> None:
        """A producer may not know it yet."""
        self.store.remove(EMAIL_ID)
        for key in (WEBHOOKS_KEY, SECRETS_KEY):
            self.table(key).pop(EMAIL_ID, None)
        self.scores(DUE_KEY).pop(EMAIL_ID, None)
        self.drop(*[key for key in self.model if key.startswith(part_key(EMAIL_ID, ""))])

    def has_room(self) -> bool:
        return len(self.part("events")) < outbox.MAX_EVENTS

    def stored(self, news_id: str, body: bytes) -> None:
        self.part("events")[news_id] = body
        for part in ("due", "added", "known"):
            self.part(part)[news_id] = self.now
        self.plan()

    def plan(self) -> None:
        self.scores(DUE_KEY).pop(EMAIL_ID, None)
        if due := self.part("due"):
            self.scores(DUE_KEY)[EMAIL_ID] = max(self.now, min(due.values()))

    def wake(self) -> None:
        queue = cast(list[Any], self.model.setdefault(Queues.NOTIFY, []))
        if len(queue) < WAKES:
            queue.append(WAKE)

    @rule(
        news=st.lists(st.tuples(st.sampled_from(KINDS), chargers, tenants, moments), min_size=1, max_size=4)
    )
    def add(self, news: list[tuple[str, str, str | None, float]]) -> None:
        events = [made(*each) for each in news]
        self.redis.run(self.outbox.to_store(events))
        if not self.is_there:
            return
        told, digest, mails = self.part("told"), self.part("digest"), 0
        if any(kind != "calmed" for kind, *_ in news):
            for each in [each for each, at in told.items() if at <= self.now - email_news.TOLD_S]:
                del told[each]
        for (kind, charger, tenant, at), event in zip(news, events, strict=True):
            mails += self.add_one(kind, charger, tenant, at, event)
        known = self.part("known")
        if any(kind != "calmed" for kind, *_ in news):
            for each in [each for each, at in known.items() if at <= self.now - outbox.KNOWN_S]:
                del known[each]
        if mails:
            self.wake()
        assert digest.get("sent", 0) <= email_news.AT_ONCE

    def add_one(self, kind: str, charger: str, tenant: str | None, at: float, event: Event) -> int:
        is_urgent = kind in ("urgent", "changed")
        news_id = event_id("urgent", tenant, charger, int(at)) if is_urgent else event.event_id
        if kind == "calmed" or news_id in self.part("known") or news_id in self.part("events"):
            return 0
        told, digest = self.part("told"), self.part("digest")
        token = event_id("charger", tenant, charger)
        if kind == "closed":
            told.pop(token, None)
        if is_urgent and token not in told:
            told[token] = self.now
            if self.now >= digest.get("window", 0):
                digest.update(window=self.now + email_news.WINDOW_S, sent=0)
            if digest["sent"] < email_news.AT_ONCE and self.has_room():
                self.stored(news_id, event.stored())
                digest["sent"] += 1
                return 1
            digest.setdefault("hurry", self.now + email_news.HURRY_S)
        self.part("known")[news_id] = self.now
        digest.setdefault("since", self.now)
        part = self.part("urgent" if is_urgent else "later")
        if len(part) < email_news.MOST_NEWS:
            part[news_id] = event.stored()
        else:
            digest["left_out"] = digest.get("left_out", 0) + 1
            self.count("dropped")
        return 0

    @rule(times=st.sampled_from([1, 1, 2]))
    def compose(self, times: int) -> None:
        """Again, as another worker does."""
        for _ in range(times):
            before = {*self.part("events")}
            digest = self.part("digest")
            due = min(digest.get("since", 0) + DIGEST_S, digest.get("hurry", float("inf")))
            is_made = self.is_there and "since" in digest and self.now >= due and self.has_room()
            assert self.outbox.compose(DIGEST_S) == is_made
            if not is_made:
                continue
            found = cast(dict[bytes, bytes], self.redis.hgetall(part_key(EMAIL_ID, "events")))
            (name,) = {each.decode() for each in found} - before  # its id is random
            body = found[name.encode()]
            news = [raw for part in ("urgent", "later") for _, raw in sorted(self.part(part).items())]
            assert orjson.loads(body) == {
                "tenant": None,
                "charger": None,
                "type": "digest",
                "at": self.now,
                "since": digest["since"],
                "left_out": digest.get("left_out", 0),
                "news": [orjson.loads(each) for each in news],
            }
            self.stored(name, body)
            self.wake()
            for part in ("urgent", "later"):
                self.part(part).clear()
            for field in ("since", "hurry", "left_out"):
                digest.pop(field, None)

    @rule()
    def deliver(self) -> None:
        """All that is due, as a sender does without a failure."""
        while (taken := self.outbox.take()) is not None:
            assert {each.event_id for each in taken.events} <= {*self.part("events")}
            for event in taken.events:
                self.outbox.settle(taken, event, delivered=True, error="", unwanted=False)
                for part in ("due", "added", "events"):
                    del self.part(part)[event.event_id]
                self.count("delivered")
            self.outbox.release(taken)
        self.plan()

    @rule(tenant=tenants, charger=st.sampled_from([None, *CHARGERS]))
    def erase(self, tenant: str | None, charger: str | None) -> None:
        def is_of(stored: dict[str, Any]) -> bool:
            return stored["tenant"] == tenant and charger in (None, stored["charger"])

        removed = 0
        if charger is None and tenant is None:
            return  # all chargers without a tenant are never erased together
        for part in ("urgent", "later"):
            table = self.part(part)
            for name in [name for name, raw in table.items() if is_of(orjson.loads(raw))]:
                del table[name]
                removed += 1
        for name, raw in [*self.part("events").items()]:
            stored = orjson.loads(raw)
            kept = [each for each in stored.get("news", ()) if not is_of(each)]
            gone = len(stored.get("news", ())) - len(kept)
            if gone and (kept or stored["left_out"]):
                self.part("events")[name] = orjson.dumps({**stored, "news": kept})
            elif gone or is_of(stored):
                for part in ("due", "added", "events"):
                    del self.part(part)[name]
                if not gone:
                    self.part("known").pop(name, None)
                    removed += 1
            removed += gone
        assert self.outbox.erase(tenant, charger) == removed

    @rule()
    def take_a_task(self) -> None:
        """As a worker does."""
        self.redis.delete(Queues.NOTIFY)
        self.drop(Queues.NOTIFY)

    @rule(seconds=st.sampled_from([5, 60, 300, 600, 3_600, 7_200]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)


def test_the_scripts_do_what_the_model_does(redis: RunningServer) -> None:
    with mock.patch.multiple(email_news, **cast(Any, NEWS)), mock.patch.multiple(outbox, **cast(Any, OUTBOX)):
        check(EmailScripts, redis.url, examples=100, steps=40)
