"""The scripts of alert records against a plain model: changes, sweeps, limits, expiry, erasure, pages."""

from __future__ import annotations

from typing import Any, Final, cast

import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from readings.reading import epoch_rfc3339
from tasks.storage import alert_records, alert_scripts
from tasks.storage.alert_records import (
    AlertChange,
    AlertKind,
    AlertRecords,
    charger_key,
    held_key,
    prefix,
    record_key,
    story_key,
    written,
)
from tasks.storage.alert_scripts import PAGE
from tests.integration.lua_models import PRELUDE, START, TENANTS, ComparedWithRedis, Scores, check
from tests.processes import settings_for
from tests.services import RunningServer

pytestmark = pytest.mark.timeout(600)  # a counterexample is made shorter for minutes

DAYS: Final = 5
RETENTION_S: Final = DAYS * 86_400
LONGER_S: Final = RETENTION_S * 101 // 100
MOST_OPEN, MOST_CLOSED, MOST_OF_CHARGER, MOST_EVENTS = 3, 3, 2, 4
CHARGERS: Final = ("EVZ-1", "%d*:\n\x00\"'é}]")
IDS: Final = tuple(f"{number:024x}" for number in range(8))
# The charger and the opening of an alert are those of its id. Some open at one time.
subjects = st.tuples(st.sampled_from(TENANTS), st.integers(0, len(IDS) - 1))
VERDICTS: Final = (None, b'{"failure_probability":0.9}', b'{"top_factor":"\\u0000 }{ %d"}')


def change_of(tenant: str | None, number: int, what: str, verdict: bytes | None) -> AlertChange:
    kind: AlertKind = "anomaly" if number % 3 == 0 else "failure"
    moment = epoch_rfc3339(START + number // 2) or ""
    closes: dict[str, Any] = {} if what == "open" else {"closed_at": f"closed {what}", "closing": verdict}
    return AlertChange(
        tenant, IDS[number], number % 2, kind, CHARGERS[number // 4], moment, f"in:0:{number}", verdict,
        lapsed=what == "lapse", **closes,
    )  # fmt: skip


class Records(ComparedWithRedis):
    """Records of two tenants, in two partitions."""

    def __init__(self) -> None:
        super().__init__()
        configured = settings_for(self.server_url, ML_FLEET_RETENTION_DAYS=str(DAYS))
        self.records = AlertRecords(configured, self.redis)

    @rule(
        things=st.lists(
            st.tuples(
                subjects, st.sampled_from(["open", "open", "close", "lapse"]), st.sampled_from(VERDICTS)
            ),
            min_size=1,
            max_size=4,
        )
    )
    def write_some(self, things: list[tuple[tuple[str | None, int], str, bytes | None]]) -> None:
        self.write(things)

    def write(self, things: list[tuple[tuple[str | None, int], str, bytes | None]]) -> None:
        changes = [change_of(*subject, what, verdict) for subject, what, verdict in things]
        replies, removed = [], 0
        for change, (_, what, _) in zip(changes, things, strict=True):
            reply, more = self.model_of(change, what)
            replies.append(reply.encode())
            removed += more
        (found,) = self.redis.run(self.records.to_store(changes))
        assert found == [*replies, removed]
        counts = written([found])
        assert (counts.opened, counts.full) == (replies.count(b"opened"), replies.count(b"full"))

    @rule(
        subject=subjects,
        whats=st.lists(st.sampled_from(["open", "close", "lapse"]), min_size=2, max_size=4),
        verdict=st.sampled_from(VERDICTS),
    )
    def write_one(self, subject: tuple[str | None, int], whats: list[str], verdict: bytes | None) -> None:
        """Several changes of one alert, in any order."""
        self.write([(subject, what, verdict) for what in whats])

    def scores(self, key: str) -> dict[str, float]:
        return cast(dict[str, float], self.model.setdefault(key, Scores()))

    def index(self, tenant: str | None, name: str) -> dict[str, float]:
        return self.scores(prefix(tenant) + name)

    def model_of(self, change: AlertChange, what: str) -> tuple[str, int]:
        tenant, alert_id = change.tenant, change.alert_id
        key, story = record_key(tenant, alert_id), story_key(tenant, alert_id)
        record = self.model.get(key)
        state = record and record["state"]
        held = self.scores(held_key(change.partition))
        member, now_ms = f"{alert_id}|{tenant or ''}", self.now * 1000
        opening: dict[str, Any] = {
            "state": "open",
            "kind": change.kind,
            "charger_id": change.charger_id,
            "partition": change.partition,
            "opened": int(START + IDS.index(alert_id) // 2) * 1000,
            "opening": orjson.dumps(
                {
                    "opened_at": change.opened_at,
                    "opened_by": change.opened_by,
                    "verdict": None if change.opening is None else orjson.loads(change.opening),
                }
            ),
        }
        closing = orjson.dumps(
            {
                "closed_at": change.closed_at,
                "verdict": None if change.closing is None else orjson.loads(change.closing),
            }
        )
        if what == "open":
            if state is None and len(self.index(tenant, "open")) >= MOST_OPEN:
                return "full", 0
            reply = ""
            if record is None or "lapsed" in record:
                kept = {
                    name: value for name, value in (record or {}).items() if name not in ("closing", "lapsed")
                }
                self.model[key] = kept | opening
                self.index(tenant, "closed").pop(alert_id, None)
                self.tell(story, "opened")
                reply = "opened"
            elif state == "closed":
                return "", 0
            if reply or self.ends[key] - self.now <= RETENTION_S:
                self.index(tenant, "open")[alert_id] = opening["opened"]
                self.keep(change, "open", opening["opened"])
            held[member] = now_ms
            self.expire(held_key(change.partition), LONGER_S)
            return reply, 0
        held.pop(member, None)
        if state == "open" or (state is None and what == "close"):
            if state is None:
                self.tell(story, "opened")
            added = {"state": "closed", "closing": closing} | ({"lapsed": 1} if what == "lapse" else {})
            self.model[key] = (record or opening) | added
            self.index(tenant, "open").pop(alert_id, None)
            self.index(tenant, "closed")[alert_id] = now_ms
            self.tell(story, "closed")
            self.keep(change, "closed", opening["opened"])
            return "closed", self.trim(change)
        if what == "close" and record is not None and "lapsed" in record:
            record["closing"] = closing
            del record["lapsed"]
        return "", 0

    def keep(self, change: AlertChange, name: str, opened: int) -> None:
        tenant = change.tenant
        self.index(tenant, "all")[change.alert_id] = opened
        self.scores(charger_key(tenant, change.charger_id))[change.alert_id] = opened
        keys = [record_key(tenant, change.alert_id), story_key(tenant, change.alert_id)]
        keys += [prefix(tenant) + name, prefix(tenant) + "all", charger_key(tenant, change.charger_id)]
        for key in keys:
            self.expire(key, LONGER_S)

    def tell(self, story: str, event: str) -> None:
        self.model[story] = [*self.model.get(story, []), event][-MOST_EVENTS:]

    def oldest(self, scores: dict[str, float]) -> list[str]:
        return sorted(scores, key=lambda each: (scores[each], each))[:4]

    def trim(self, change: AlertChange) -> int:
        tenant, removed = change.tenant, 0
        closed = self.index(tenant, "closed")
        for old in self.oldest(closed):
            if old not in closed:
                continue
            expired = closed[old] <= (self.now - RETENTION_S) * 1000
            if expired or len(closed) > MOST_CLOSED:
                removed += not expired
                self.forget(tenant, old)
        of_charger = self.scores(charger_key(tenant, change.charger_id))
        for old in self.oldest(of_charger):
            record = self.model.get(record_key(tenant, old))
            if record is None:
                del of_charger[old]
                for name in ("open", "closed", "all"):
                    self.index(tenant, name).pop(old, None)
            elif record["state"] == "closed" and old != change.alert_id and len(of_charger) > MOST_OF_CHARGER:
                removed += 1
                self.forget(tenant, old)
        return removed

    def forget(self, tenant: str | None, alert_id: str) -> None:
        record = self.model.get(record_key(tenant, alert_id))
        self.drop(record_key(tenant, alert_id), story_key(tenant, alert_id))
        for name in ("open", "closed", "all"):
            self.index(tenant, name).pop(alert_id, None)
        if record is not None:
            self.scores(charger_key(tenant, record["charger_id"])).pop(alert_id, None)

    @rule(partition=st.integers(0, 1), ago=st.sampled_from([0, 5, 3_600]), limit=st.integers(1, 3))
    def sweep_ends(self, partition: int, ago: int, limit: int) -> None:
        """Members that were not written since a time: those with a record are closed by the next `write`."""
        held, before_ms = self.scores(held_key(partition)), (self.now - ago) * 1000
        wanted = [
            each
            for each in sorted(held, key=lambda member: (held[member], member.encode()))
            if held[each] < before_ms
        ][:limit]
        found = self.records.stale(partition, int(before_ms), limit)
        known = [each for each in wanted if record_key(*self.alert(each)) in self.model]
        assert [(each.tenant, each.alert_id) for each in found] == [self.alert(each) for each in known]
        for each in found:
            record = self.model[record_key(each.tenant, each.alert_id)]
            assert (each.kind, each.charger_id) == (record["kind"], record["charger_id"])
            assert each.lapsed
        for member in set(wanted) - set(known):
            del held[member]

    def alert(self, member: str) -> tuple[str | None, str]:
        alert_id, _, tenant = member.partition("|")
        return tenant or None, alert_id

    @rule(tenant=st.sampled_from(TENANTS), charger=st.sampled_from(CHARGERS))
    def erase_charger(self, tenant: str | None, charger: str) -> None:
        ids = list(self.scores(charger_key(tenant, charger)))
        there = sum(record_key(tenant, each) in self.model for each in ids)
        for alert_id in ids:
            self.erase(tenant, alert_id)
        self.drop(charger_key(tenant, charger))
        assert self.records.erase(tenant, charger) == there

    def erase(self, tenant: str | None, alert_id: str) -> None:
        record = self.model.get(record_key(tenant, alert_id))
        if record is not None:
            self.scores(held_key(record["partition"])).pop(f"{alert_id}|{tenant or ''}", None)
        self.drop(record_key(tenant, alert_id), story_key(tenant, alert_id))
        for name in ("open", "closed", "all"):
            self.index(tenant, name).pop(alert_id, None)

    @rule()
    def erase_tenant(self) -> None:
        tenant = TENANTS[1]
        there = sum(record_key(tenant, each) in self.model for each in self.index(tenant, "all"))
        for alert_id in list(self.index(tenant, "all")):
            self.erase(tenant, alert_id)
        assert self.records.erase_all(tenant, until=float("inf")) == (there, True)

    @rule(
        tenant=st.sampled_from(TENANTS),
        name=st.sampled_from(["open", "closed", "all"]),
        after=st.none() | st.tuples(st.sampled_from([0, 1, 2, 10**6]), st.integers(0, len(IDS) - 1)),
        limit=st.integers(1, 4),
    )
    def page(self, tenant: str | None, name: str, after: tuple[int, int] | None, limit: int) -> None:
        """A page begins after its cursor, whether the cursor's alert is still there or not."""
        key = prefix(tenant) + name
        places = sorted(((score, each) for each, score in self.index(tenant, name).items()), reverse=True)
        score, cursor = ("", "") if after is None else (str(int(START + after[0]) * 1000), IDS[after[1]])
        if after is not None:
            places = [place for place in places if place < (int(START + after[0]) * 1000, cursor)]
        found = self.redis.eval(PRELUDE + PAGE, 1, key, score, cursor, limit)
        ids = cast(list[bytes], found)[::2]
        assert ids == [each.encode() for _, each in places[:limit]]

    @rule(tenant_and_number=subjects)
    def lose(self, tenant_and_number: tuple[str | None, int]) -> None:
        """A record expires before the entries of its alert."""
        tenant, number = tenant_and_number
        keys = (record_key(tenant, IDS[number]), story_key(tenant, IDS[number]))
        self.redis.delete(*keys)
        self.drop(*keys)

    @rule(seconds=st.sampled_from([5, 60, LONGER_S - RETENTION_S, RETENTION_S, LONGER_S]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)


def test_records_are_those_of_a_plain_model(redis: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_records, "MOST_OPEN", MOST_OPEN)
    monkeypatch.setattr(alert_records, "MOST_CLOSED", MOST_CLOSED)
    monkeypatch.setattr(alert_records, "MOST_OF_CHARGER", MOST_OF_CHARGER)
    monkeypatch.setattr(alert_scripts, "STORY_EVENTS", MOST_EVENTS)
    monkeypatch.setattr(alert_records, "_event", lambda kind: kind.encode())
    check(Records, redis.url, examples=60, steps=40)
