"""The script of the fleet store against a plain model, with three first verdicts at most."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from tasks.storage.fleet import _STORE, changed_key, newest_key, past_key, rows_key
from tasks.storage.redis_connection import for_each
from tests.integration.lua_models import TENANTS, ComparedWithRedis, Scores, check
from tests.services import RunningServer

pytestmark = pytest.mark.timeout(600)  # a counterexample is made shorter for minutes

CHARGERS: Final = ("EVZ-1", "EVZ-2", "EVZ-3", "%d*:\n\x00\"'é}]")
SLOT_S: Final = 43_200
RETENTION_S: Final = 4 * SLOT_S
LONGER_S: Final = RETENTION_S + 1_730
MOST_STATES: Final = 3
# Seconds before a put. Some readings are in one slot, some too old, one is of the tolerated future.
AGES_S: Final = (
    -60,
    0,
    0.001,
    60,
    3_600,
    SLOT_S,
    SLOT_S + 60,
    2 * SLOT_S,
    3 * SLOT_S,
    RETENTION_S,
    5 * SLOT_S,
)
subjects = st.tuples(st.sampled_from(TENANTS), st.sampled_from(CHARGERS))
puts = st.tuples(subjects, st.sampled_from(AGES_S), st.integers(1, 3), st.sampled_from(["aaaa", "b-_b"]))


def past_verdict(at: float, model: str, number: int) -> bytes:
    return b"1%011x%020d%b" % (round(at * 1000), number, model.encode())


def time_of(verdict: bytes) -> int:
    return int(verdict[1:12], 16)


class Fleet(ComparedWithRedis):
    """Verdicts in any order, repeated, of several tenants in one script; erasures; and keys that expire."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    @property
    def oldest(self) -> float:
        return self.now - RETENTION_S

    @rule(several=st.lists(puts, min_size=1, max_size=5))
    def put(self, several: list[tuple[tuple[str | None, str], float, int, str]]) -> None:
        things: Any = []
        seen: dict[str, bool] = {}
        for (tenant, charger), age, state, model in several:
            self.number += 1
            at = self.now - age
            slot = int(at // SLOT_S) * 16
            past = past_verdict(at, model, self.number)
            words = [f"{word}-{self.number}" for word in ("body", "reading", "row")]
            keys = [
                newest_key(tenant, charger),
                past_key(tenant, charger),
                rows_key(tenant),
                changed_key(tenant),
            ]
            name = f"name of {model}"
            things.append((keys, [at, slot, slot + state, charger, *words, past, f"v{model}", name]))
            if at > self.oldest:
                self.remember(keys[1], slot, state, past, {f"v{model}": name})
            self.renew(keys, charger, at, words, seen)
        constants = [RETENTION_S, LONGER_S, SLOT_S, MOST_STATES]
        self.redis.run(for_each(_STORE, constants, things))

    def remember(self, key: str, slot: int, state: int, past: bytes, named: dict[str, str]) -> None:
        held = self.model.setdefault(key, {})
        before = len(held)
        newest, first = held.get(str(slot)), held.get(str(slot + state))
        if newest is None or time_of(newest) <= time_of(past):
            held |= {str(slot): past, **named}
        # Those of a slot that had too many are not taken again.
        may_be_first = first is not None or slot // 16 > int(held.get("cut", -1))
        if may_be_first and (first is None or time_of(first) >= time_of(past)):
            held |= {str(slot + state): past, **named}
        if newest is None:
            self.expire(key, LONGER_S + SLOT_S)
        if len(held) > max(before, MOST_STATES):
            self.trim(held)

    def trim(self, held: dict[str, Any]) -> None:
        fields = [int(name) for name in held if name.isdigit()]
        slots = sorted({field // 16 for field in fields}, reverse=True)
        young = [slot for slot in slots if (slot + 1) * SLOT_S > self.oldest]
        cut, count = int(held.get("cut", -1)), 0
        for slot in slots:
            count += sum(field // 16 == slot and field % 16 > 0 for field in fields)
            if count > MOST_STATES and slot > cut:
                cut = slot
                held["cut"] = str(cut)
        for field in fields:
            if field // 16 not in young or (field % 16 and field // 16 <= cut):
                del held[str(field)]
        used = {"v" + value[32:].decode() for name, value in held.items() if name.isdigit()}
        for name in [name for name in held if name.startswith("v") and name not in used]:
            del held[name]

    def renew(
        self, keys: list[str], charger: str, at: float, words: list[str], seen: dict[str, bool]
    ) -> None:
        """The newest verdict, the row, and the chargers that have been silent for the retention."""
        newest, _, rows, changed = keys
        held = self.model.setdefault(newest, {})
        if held and float(held["at"]) > at:
            return
        renewed = not held or self.left(newest) <= RETENTION_S
        if renewed:
            self.ends[newest] = self.now + LONGER_S
        body, reading, row = words
        held.update(at=repr(at), body=body, reading=reading)
        self.model.setdefault(rows, {})[charger] = row
        written = self.model.setdefault(changed, Scores())
        if charger not in written or renewed:
            self.ends[rows] = self.ends[changed] = self.now + LONGER_S
        written[charger] = self.now * 1000
        if not seen.get(changed, False):
            silent = sorted((at, each.encode()) for each, at in written.items() if at <= self.oldest * 1000)
            for _, each in silent[:2]:
                del written[each.decode()]
                del self.model[rows][each.decode()]
            seen[changed] = len(silent) < 2

    def left(self, key: str) -> float:
        return self.ends.get(key, self.now) - self.now

    @rule(subject=subjects)
    def erase(self, subject: tuple[str | None, str]) -> None:
        tenant, charger = subject
        keys = newest_key(tenant, charger), past_key(tenant, charger)
        self.redis.delete(*keys)
        self.redis.zrem(changed_key(tenant), charger)
        self.redis.hdel(rows_key(tenant), charger)
        self.drop(*keys)
        for key in (changed_key(tenant), rows_key(tenant)):
            self.model.get(key, {}).pop(charger, None)

    @rule(seconds=st.sampled_from([60, SLOT_S, RETENTION_S - 60, LONGER_S]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)

    @invariant()
    def nothing_grows(self) -> None:
        for key, held in self.model.items():
            if ":fleet:past:" in key:
                fields = [int(name) for name in held if name.isdigit()]
                assert len(fields) <= MOST_STATES + RETENTION_S // SLOT_S + 2
                assert sum(field % 16 > 0 for field in fields) <= MOST_STATES
            assert key in self.ends or not held


def test_the_fleet_is_as_a_plain_model_of_it(redis: RunningServer) -> None:
    check(Fleet, redis.url)
