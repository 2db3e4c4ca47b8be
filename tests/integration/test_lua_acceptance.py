"""The scripts of idempotency keys and of erasures that are due, against plain models of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from errors import Conflict, StillAccepted
from tasks.jobs.erase_jobs import DUE_KEY, PAUSE_S, RESEND_S, Erasures
from tasks.jobs.idempotency import CLAIM_S, Claim, IdempotencyKeys
from tasks.jobs.job_keys import JobKeys
from tests.integration.lua_models import TENANTS, ComparedWithRedis, Scores, check
from tests.processes import settings_for
from tests.services import RunningServer

pytestmark = pytest.mark.timeout(600)  # a counterexample is made shorter for minutes

RETENTION_S: Final = 3_600
KEYS: Final = ("k", '*:%s\n\x00"é')
ids = st.integers(0, 5).map(lambda number: f"{number:032x}")
# Contents of requests. The second looks like a part of the first.
CONTENTS: Final = ("abc-text/csv-all-False", "abc")


class Idempotency(ComparedWithRedis):
    """Uploads with two keys of two tenants: each claims, renews, and settles or gives back, in any order."""

    def __init__(self) -> None:
        super().__init__()
        configured = settings_for(self.server_url, ML_JOB_RETENTION=str(RETENTION_S))
        self.keys = IdempotencyKeys(configured)
        self.claims: list[Claim] = []

    @rule(
        tenant=st.sampled_from(TENANTS),
        key=st.sampled_from(KEYS),
        asked=st.sampled_from(CONTENTS),
        job_id=ids,
    )
    def claim(self, tenant: str | None, key: str, asked: str, job_id: str) -> None:
        name = f"ml:tenant:{tenant}:idempotency:{key}" if tenant else f"ml:idempotency:{key}"
        held_id, _, held_asked = self.model.get(name, "").partition(":")
        assert self.keys.is_used(tenant, key) == (name in self.model)
        if not held_id:
            claim = self.keys.claim(tenant, key, asked, job_id)
            assert isinstance(claim, Claim)
            self.claims.append(claim)
            self.model[name] = f"{job_id}:{asked}"
            self.expire(name, CLAIM_S)
        elif held_asked != asked:
            with pytest.raises(Conflict):
                self.keys.claim(tenant, key, asked, job_id)
        elif JobKeys(held_id).record in self.model:
            assert self.keys.claim(tenant, key, asked, job_id) == held_id
        else:
            with pytest.raises(StillAccepted):
                self.keys.claim(tenant, key, asked, job_id)

    @precondition(lambda self: self.claims)
    @rule(number=st.integers(0, 9))
    def renew(self, number: int) -> None:
        claim = self.claims[number % len(self.claims)]
        if self.model.get(claim._name, claim.value) != claim.value:
            with pytest.raises(StillAccepted):
                claim.renew()
            return
        claim.renew()
        self.model[claim._name] = claim.value
        # An answer to a repeated request is never forgotten earlier than it was promised.
        self.ends[claim._name] = max(self.ends.get(claim._name, 0.0), self.now + CLAIM_S)

    @precondition(lambda self: self.claims)
    @rule(number=st.integers(0, 9))
    def give_back(self, number: int) -> None:
        claim = self.claims[number % len(self.claims)]
        claim.give_back()
        if self.model.get(claim._name) == claim.value:
            self.drop(claim._name)

    @precondition(lambda self: self.claims)
    @rule(number=st.integers(0, 9))
    def settle(self, number: int) -> None:
        """The job is stored in the same transaction."""
        claim = self.claims[number % len(self.claims)]
        record = JobKeys(claim.value.partition(":")[0]).record
        with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(record, "status", "PENDING")
            pipeline.expire(record, RETENTION_S)
            claim.settle(pipeline)
            pipeline.execute()
        self.model[record] = {"status": "PENDING"}
        self.model[claim._name] = claim.value
        self.expire(record, RETENTION_S)
        self.expire(claim._name, RETENTION_S)

    @rule(seconds=st.sampled_from([5, CLAIM_S, RETENTION_S - 15, RETENTION_S]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)


class DueErasures(ComparedWithRedis):
    """Erasures are sent, paused, sent again and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        publisher = SimpleNamespace(
            send_all=lambda task, messages, queue: self.sent.extend(each["job_id"] for each in messages)
        )
        self.erasures = Erasures(
            settings_for(self.server_url), self.redis, cast(Any, publisher), cast(Any, None)
        )

    @property
    def due(self) -> dict[str, float]:
        return cast(dict[str, float], self.model.setdefault(DUE_KEY, Scores()))

    @rule(job_id=ids)
    def accept(self, job_id: str) -> None:
        self.redis.zadd(DUE_KEY, {job_id: self.now + RESEND_S})
        self.due[job_id] = self.now + RESEND_S

    @rule(number=st.integers(90, 130))
    def accept_many(self, number: int) -> None:
        many = {f"{each:032x}": self.now - 1 for each in range(number)}
        self.redis.zadd(DUE_KEY, cast(Any, many))
        self.due.update(many)

    @rule(job_id=ids)
    def pause(self, job_id: str) -> None:
        keys = JobKeys(job_id)
        self.erasures.pause(job_id, "the cache")
        self.due[job_id] = self.now + PAUSE_S
        self.model[keys.record] = {"waiting_for": "the cache"}
        self.model[keys.attempts] = {"0": 0}

    @rule(job_id=ids)
    def close(self, job_id: str) -> None:
        self.erasures.close(job_id)
        self.due.pop(job_id, None)

    @rule()
    def send_due(self) -> None:
        """The hundred that have waited longest are sent, and once within ten seconds."""
        self.sent.clear()
        number = self.erasures.send_due()
        waiting = sorted((at, job_id) for job_id, at in self.due.items() if at <= self.now)[:100]
        assert self.sent == [job_id for _, job_id in waiting]
        assert number == len(waiting)
        self.due.update(dict.fromkeys(self.sent, self.now + RESEND_S))

    @rule(seconds=st.sampled_from([0.25, PAUSE_S, RESEND_S, 100.0]))
    def wait(self, seconds: float) -> None:
        self.advance(seconds)


def test_idempotency_keys_are_as_a_plain_model_of_them(redis: RunningServer) -> None:

    check(Idempotency, redis.url)


def test_due_erasures_are_as_a_plain_model_of_them(redis: RunningServer) -> None:
    check(DueErasures, redis.url, examples=30)
