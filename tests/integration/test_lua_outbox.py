"""The scripts of the outbox against a plain model: adding, leases, attempts, parking, replay, erasure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final, cast
from unittest import mock

import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tasks.messaging.names import Queues
from tasks.notify import outbox as module
from tasks.notify.cloud_events import Event
from tasks.notify.outbox import Outbox, Taken, TakenEvent
from tasks.notify.webhook_store import (
    DISABLED_KEY,
    DUE_KEY,
    SECRETS_KEY,
    SENDERS_KEY,
    WEBHOOKS_KEY,
    part_key,
)
from tests.integration.lua_models import TENANTS, ComparedWithRedis, Scores, check
from tests.services import RunningServer

pytestmark = pytest.mark.timeout(600)  # a counterexample is made shorter for minutes

WEBHOOKS: Final[dict[str, str | None]] = {"w%1": None, "w:2": TENANTS[1]}
# Small, so that parking, pauses and full outboxes are frequent.
CONSTANTS: Final = {
    "JITTER": 0,
    "MAX_EVENTS": 4,
    "TAKEN_AT_ONCE": 2,
    "RETRY_AFTER_S": (5.0, 300.0),
    "PAUSES_AFTER": 2,
    "MAX_PAUSE_S": 60.0,
    "TRIED_FOR_S": 1_000,
    "PARKED_FOR_S": 7_200,
    "KNOWN_S": 7_200,
}
WAKES: Final = 4
WAKE: Final = b"wake"
IDS: Final = tuple(f"event-%{number}" for number in range(7))
webhook_ids = st.sampled_from(sorted(WEBHOOKS))
# How often a command is sent: again after a lost reply.
times = st.sampled_from([1, 1, 2])
numbers = st.integers(0, 9)


class OutboxScripts(ComparedWithRedis):
    """Two webhooks, one of a tenant, with senders that come, die and come back."""

    def __init__(self) -> None:
        super().__init__()
        publisher = SimpleNamespace(message=lambda task, message, queue: WAKE)
        self.outbox = Outbox(self.redis, cast(Any, publisher))
        self.senders: list[Taken] = []
        for webhook_id in WEBHOOKS:
            self.create(webhook_id)

    def create(self, webhook_id: str) -> None:
        record = {
            "webhook_id": webhook_id,
            "url": "http://x/",
            "types": ["job.ended"],
            "tenant": WEBHOOKS[webhook_id],
            "created_at": 1,
        }
        for key, value in ((WEBHOOKS_KEY, orjson.dumps(record)), (SECRETS_KEY, b"whsec_")):
            self.redis.hset(key, webhook_id, cast(Any, value))
            self.table(key)[webhook_id] = value
        self.outbox.refresh()

    def table(self, key: str) -> dict[str, Any]:
        return cast(dict[str, Any], self.model.setdefault(key, {}))

    def scores(self, key: str) -> Scores:
        return cast(Scores, self.model.setdefault(key, Scores()))

    def part(self, webhook_id: str, part: str) -> dict[str, Any]:
        key = part_key(webhook_id, part)
        return self.scores(key) if part in ("due", "added", "parked", "known") else self.table(key)

    def count(self, webhook_id: str, name: str, number: int) -> None:
        counts = self.part(webhook_id, "counts")
        counts[name] = counts.get(name, 0) + number

    def forget(self, webhook_id: str, event: str) -> bool:
        for part in ("due", "added", "parked", "tries", "errors"):
            self.part(webhook_id, part).pop(event, None)
        return self.part(webhook_id, "events").pop(event, None) is not None

    def paused_until(self, webhook_id: str) -> float:
        return float(self.part(webhook_id, "health").get("paused_until", 0))

    def plan(self, webhook_id: str) -> None:
        due = self.part(webhook_id, "due")
        self.scores(DUE_KEY).pop(webhook_id, None)
        if due:
            first = min(due.values())
            self.scores(DUE_KEY)[webhook_id] = max(self.now, self.paused_until(webhook_id), first)

    def wake(self) -> None:
        queue = cast(list[Any], self.model.setdefault(Queues.NOTIFY, []))
        if len(queue) < WAKES:
            queue.append(WAKE)

    def is_leased(self, webhook_id: str) -> bool:
        return webhook_id in self.table(SENDERS_KEY)

    def can_get_events(self, webhook_id: str) -> bool:
        return webhook_id in self.table(WEBHOOKS_KEY) and webhook_id not in self.table(DISABLED_KEY)

    @rule(event_ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=3), tenant=st.sampled_from(TENANTS))
    def add(self, event_ids: list[str], tenant: str | None) -> None:
        """The list of webhooks may be an old one."""
        made = [Event(each, "job.ended", 1.0, "s", {}, tenant) for each in event_ids]
        self.redis.run(self.outbox.to_store(made))
        for webhook_id, of_tenant in WEBHOOKS.items():
            if of_tenant in (None, tenant) and self.can_get_events(webhook_id):
                self.add_to(webhook_id, made)

    def add_to(self, webhook_id: str, made: list[Event]) -> None:
        events, known = self.part(webhook_id, "events"), self.part(webhook_id, "known")
        added = False
        for event in made:
            if event.event_id in known or event.event_id in events:
                continue
            parked = self.part(webhook_id, "parked")
            if len(events) >= module.MAX_EVENTS and parked:
                self.forget(webhook_id, min(parked, key=lambda each: (parked[each], each)))
                self.count(webhook_id, "dropped", 1)
            if len(events) >= module.MAX_EVENTS:
                self.count(webhook_id, "dropped", 1)
                continue
            events[event.event_id] = event.stored()
            for part in ("due", "added", "known"):
                self.part(webhook_id, part)[event.event_id] = self.now
            added = True
        for event_id in [each for each, at in known.items() if at <= self.now - module.KNOWN_S]:
            del known[event_id]
        if added and not self.is_leased(webhook_id):
            self.plan(webhook_id)
            if self.paused_until(webhook_id) <= self.now:
                self.wake()

    @rule()
    def take(self) -> None:
        taken = self.outbox.take()
        index = self.scores(DUE_KEY)
        for webhook_id in sorted(
            (each for each in index if index[each] <= self.now), key=lambda x: (index[x], x)
        ):
            due = self.part(webhook_id, "due")
            found = sorted((each for each in due if due[each] <= self.now), key=lambda x: (due[x], x))
            if found:
                assert taken is not None
                tries = self.part(webhook_id, "tries")
                assert (taken.webhook.webhook_id, taken.secret) == (webhook_id, "whsec_")
                assert [(each.event_id, each.tries) for each in taken.events] == [
                    (each, tries.get(each, 0)) for each in found[: module.TAKEN_AT_ONCE]
                ]
                index[webhook_id] = self.now + module.LEASE_S
                self.table(SENDERS_KEY)[webhook_id] = taken.token
                self.senders.append(taken)
                return
            self.table(SENDERS_KEY).pop(webhook_id, None)
            self.plan(webhook_id)
        assert taken is None

    @precondition(lambda self: self.senders)
    @rule(
        which=numbers,
        nth=numbers,
        result=st.sampled_from(["ok", *["failed"] * 4, "gone"]),
        times=times,
    )
    def settle(self, which: int, nth: int, result: str, times: int) -> None:
        """The sender may have lost its lease to another one, or its webhook to an administrator."""
        taken = self.senders[-1 - which % len(self.senders)]
        event = taken.events[nth % len(taken.events)]
        for _ in range(times):
            may_go_on = self.outbox.settle(
                taken, event, delivered=result == "ok", error="why", unwanted=result == "gone"
            )
            assert may_go_on == self.settled(taken, event, result)

    def settled(self, taken: Taken, event: TakenEvent, result: str) -> bool:
        webhook_id, event_id = taken.webhook.webhook_id, event.event_id
        is_sender = self.table(SENDERS_KEY).get(webhook_id) == taken.token
        health, due = self.part(webhook_id, "health"), self.part(webhook_id, "due")
        if result == "ok":
            if self.forget(webhook_id, event_id):
                self.count(webhook_id, "delivered", 1)
            health.clear()
        elif is_sender and event_id in self.part(webhook_id, "events"):
            self.count(webhook_id, "failed", 1)
            tries = self.part(webhook_id, "tries")
            tries[event_id] = tries.get(event_id, 0) + 1
            self.part(webhook_id, "errors")[event_id] = b"why"
            health["failures"] = health.get("failures", 0) + 1
            over = health["failures"] - module.PAUSES_AFTER
            if over >= 0:
                health["paused_until"] = self.now + min(module.MAX_PAUSE_S, 2 ** min(over, 10))
            if result == "gone":
                self.table(DISABLED_KEY)[webhook_id] = b"why"
                self.count(webhook_id, "parked", len(due))
                parked = self.part(webhook_id, "parked")
                for each, at in due.items():
                    parked[each] = max(at, parked.get(each, at))
                due.clear()
                self.part(webhook_id, "added").clear()
            elif event.tries < len(module.RETRY_AFTER_S):
                if event_id in due:
                    due[event_id] = self.now + module.RETRY_AFTER_S[event.tries]
            else:
                self.park(webhook_id, event_id)
            added = self.part(webhook_id, "added")
            for old in [each for each, at in added.items() if at <= self.now - module.TRIED_FOR_S]:
                self.park(webhook_id, old)
        if not is_sender or result == "gone" or self.paused_until(webhook_id) > self.now:
            return False
        self.scores(DUE_KEY)[webhook_id] = self.now + module.LEASE_S
        return True

    def park(self, webhook_id: str, event_id: str) -> None:
        for part in ("due", "added"):
            self.part(webhook_id, part).pop(event_id, None)
        self.part(webhook_id, "parked")[event_id] = self.now
        self.count(webhook_id, "parked", 1)

    @precondition(lambda self: self.senders)
    @rule(which=numbers, times=times)
    def release(self, which: int, times: int) -> None:
        taken = self.senders[-1 - which % len(self.senders)]
        webhook_id = taken.webhook.webhook_id
        for _ in range(times):
            self.outbox.release(taken)
        if self.table(SENDERS_KEY).get(webhook_id) == taken.token:
            del self.table(SENDERS_KEY)[webhook_id]
            self.plan(webhook_id)

    @rule(
        number=st.integers(1, 4), event_id=st.sampled_from(IDS), pause_s=st.sampled_from([5, 60, 300, 1_000])
    )
    def fail_in_a_row(self, number: int, event_id: str, pause_s: int) -> None:
        """As a target does that is down, while events come in."""
        for _ in range(number):
            self.add([event_id], None)
            before = len(self.senders)
            self.take()
            if len(self.senders) > before:
                self.settle(0, 0, "failed", 1)
                self.all_keys_are_equal()
                self.release(0, 1)
            self.wait(pause_s)

    @rule(webhook_id=webhook_ids, event_id=st.sampled_from([None, *IDS]))
    def replay(self, webhook_id: str, event_id: str | None) -> None:
        parked, number = self.part(webhook_id, "parked"), 0
        if webhook_id in self.table(WEBHOOKS_KEY):
            for each in [each for each in parked if event_id in (None, each)]:
                del parked[each]
                self.part(webhook_id, "tries").pop(each, None)
                for part in ("due", "added"):
                    self.part(webhook_id, part)[each] = self.now
                number += 1
            self.table(DISABLED_KEY).pop(webhook_id, None)
            self.part(webhook_id, "health").clear()
            if not self.is_leased(webhook_id):
                self.plan(webhook_id)
            self.wake()
        assert self.outbox.replay(webhook_id, event_id) == number
        self.outbox.refresh()

    @rule(tenant=st.sampled_from(TENANTS))
    def erase(self, tenant: str | None) -> None:
        removed = 0
        for webhook_id in self.table(WEBHOOKS_KEY):
            events = self.part(webhook_id, "events")
            for each in [each for each, raw in events.items() if orjson.loads(raw)["tenant"] == tenant]:
                removed += self.forget(webhook_id, each)
                self.part(webhook_id, "known").pop(each, None)
        assert self.outbox.erase(tenant) == removed

    @rule()
    def expire(self) -> None:
        dropped = 0
        for webhook_id in self.table(WEBHOOKS_KEY):
            parked = self.part(webhook_id, "parked")
            old = [each for each, at in parked.items() if at <= self.now - module.PARKED_FOR_S]
            for each in old:
                self.forget(webhook_id, each)
            if old:
                self.count(webhook_id, "dropped", len(old))
            dropped += len(old)
        assert self.outbox.expire() == dropped

    @rule()
    def sweep(self) -> None:
        is_due = any(at <= self.now for at in self.scores(DUE_KEY).values())
        if is_due and not self.model.get(Queues.NOTIFY):
            self.wake()
        assert self.outbox.sweep() == is_due

    @rule()
    def take_a_task(self) -> None:
        """As a worker does."""
        self.redis.delete(Queues.NOTIFY)
        self.drop(Queues.NOTIFY)

    @rule(webhook_id=webhook_ids)
    def remove_and_add_again(self, webhook_id: str) -> None:
        if not self.is_leased(webhook_id):
            return  # the interesting case
        self.outbox._store.remove(webhook_id)
        for key in (WEBHOOKS_KEY, SECRETS_KEY, DISABLED_KEY, SENDERS_KEY):
            self.table(key).pop(webhook_id, None)
        self.scores(DUE_KEY).pop(webhook_id, None)
        self.drop(*[key for key in self.model if key.startswith(part_key(webhook_id, ""))])
        self.all_keys_are_equal()
        self.create(webhook_id)

    @rule(seconds=st.sampled_from([5, 5, 20, 60, 300, 300, 1_000, 7_200]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)


def test_the_scripts_do_what_the_model_does(redis: RunningServer) -> None:
    with mock.patch.multiple(module, **cast(Any, CONSTANTS)):
        check(OutboxScripts, redis.url, examples=120, steps=40)
