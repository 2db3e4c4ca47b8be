"""Who has an `Idempotency-Key` while a job is being stored, and what a crash in between leaves."""

from __future__ import annotations

import time
from collections.abc import Iterator

import orjson
import pytest
from redis import Redis

from errors import BrokerUnavailable, Conflict, StillAccepted
from tasks.jobs.idempotency import Claim, IdempotencyKeys
from tasks.jobs.job_keys import JobKeys
from tasks.jobs.job_store import Draft, JobStore
from tests.processes import settings_for
from tests.readings import metrics, new_charger_id
from tests.services import RunningServer


@pytest.fixture
def store(redis: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(redis.url.replace("/0", "/7")) as store:  # no worker looks there
        yield store


@pytest.fixture
def keys(redis: RunningServer) -> IdempotencyKeys:
    return IdempotencyKeys(settings_for(redis.url.replace("/0", "/7")))


@pytest.fixture
def draft(redis: RunningServer, store: Redis) -> Draft:
    jobs = JobStore(settings_for(redis.url), store)
    draft = jobs.draft(
        kind="failure", tenant=None, store=False, encoding="ndjson", chunk_rows=1, now=time.time()
    )
    for _ in range(2):
        draft.add(1, orjson.dumps(metrics()))
    return draft


def ours(claim: Claim | str) -> Claim:
    assert isinstance(claim, Claim)
    return claim


def test_a_key_finds_its_job_once_that_is_stored(keys: IdempotencyKeys, store: Redis, draft: Draft) -> None:
    key = new_charger_id()
    claim = ours(keys.claim(None, key, "this", draft.job_id))
    with pytest.raises(StillAccepted):
        keys.claim(None, key, "this", "another")
    draft.commit(extra_commands=claim.settle)
    assert keys.claim(None, key, "this", "another") == draft.job_id
    with pytest.raises(Conflict):
        keys.claim(None, key, "something else", "another")


def test_a_claim_that_has_lapsed_does_not_disturb_the_next(keys: IdempotencyKeys, store: Redis) -> None:
    key = new_charger_id()
    first = ours(keys.claim(None, key, "this", "first"))
    first.renew()
    store.delete(f"ml:idempotency:{key}")  # as if its web process had stood still for too long
    second = ours(keys.claim(None, key, "this", "second"))
    with pytest.raises(StillAccepted):
        first.renew()
    first.give_back()
    second.renew()
    second.give_back()
    assert isinstance(keys.claim(None, key, "something else", "third"), Claim)


def test_a_batch_that_a_crash_of_redis_has_cut_is_not_accepted(store: Redis, draft: Draft) -> None:
    store.hdel(JobKeys(draft.job_id).input, "1")  # as after a crash within the second that is not on disk
    with pytest.raises(BrokerUnavailable):
        draft.commit()
    assert not store.exists(JobKeys(draft.job_id).record)
