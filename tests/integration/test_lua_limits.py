"""The scripts of limits against plain models of them: jobs, bytes and rows of jobs, and readings a second."""

from __future__ import annotations

import math
from typing import Any, Final, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from errors import RateLimited
from settings import Limits
from tasks.client.rate_limiter import _TAKE, MAX_DEBT_S, SHARED_TTL_S
from tasks.jobs.job_keys import JobKeys
from tasks.jobs.job_limits import DRAFT_S, KEPT_EVERY_S, LOOK_EVERY_S, JobLimits, Ledger
from tasks.storage.redis_connection import for_each
from tests.integration.lua_models import TENANTS, ComparedWithRedis, Scores, check
from tests.processes import settings_for
from tests.services import RunningServer

pytestmark = pytest.mark.timeout(600)  # a counterexample is made shorter for minutes

RETENTION_S: Final = 3_600
ids = st.integers(0, 5).map(lambda number: f"{number:032x}")
JOBS, BYTES, ROWS = 2, 40, 6
LEDGERS: Final = (
    Ledger("key", 'key:*:%s\n\x00"é', Limits(jobs=JOBS, job_bytes=0, rows=ROWS)),
    Ledger("tenant", f"tenant:{TENANTS[1]}", Limits(jobs=0, job_bytes=BYTES, rows=ROWS + 2)),
)
SOME_LEDGERS: Final = (LEDGERS, LEDGERS[:1], LEDGERS[1:], (LEDGERS[1], LEDGERS[0]))


class LimitsOfJobs(ComparedWithRedis):
    """Uploads of two ledgers, whose jobs begin, grow, end, are erased and expire."""

    def __init__(self) -> None:
        super().__init__()
        configured = settings_for(self.server_url, ML_JOB_RETENTION=str(RETENTION_S))
        self.limits = JobLimits(configured, self.redis)

    def held(self, ledger: Ledger) -> dict[str, Any]:
        return cast(dict[str, Any], self.model.setdefault(ledger.held, {}))

    def due(self, ledger: Ledger) -> dict[str, float]:
        return cast(dict[str, float], self.model.setdefault(ledger.due, Scores()))

    @rule(job_id=ids, ledgers=st.sampled_from(SOME_LEDGERS))
    def start(self, job_id: str, ledgers: tuple[Ledger, ...]) -> None:
        self.add(job_id, ledgers, (1, 0, 0))

    @rule(
        job_id=ids,
        ledgers=st.sampled_from(SOME_LEDGERS),
        size=st.integers(0, BYTES // 2),
        rows=st.integers(0, ROWS),
    )
    def grow(self, job_id: str, ledgers: tuple[Ledger, ...], size: int, rows: int) -> None:
        self.add(job_id, ledgers, (0, size, rows))

    def add(self, job_id: str, ledgers: tuple[Ledger, ...], add: tuple[int, int, int]) -> None:
        for ledger in ledgers:
            self.look(ledger, self.now)
        over = self.over(ledgers, add)
        if over:
            # Before it is refused, open jobs are looked at that are due within a second.
            for ledger in ledgers:
                self.look(ledger, self.now + LOOK_EVERY_S)
            over = self.over(ledgers, add)
        if over:
            with pytest.raises(RateLimited) as refused:
                self.limits.change(job_id, ledgers, add)
            assert refused.value.limit == over
        else:
            for ledger in ledgers:
                own = [old + more for old, more in zip(self.entry(ledger, job_id), add, strict=True)]
                self.enter(ledger, job_id, own, self.now + DRAFT_S)
                for key in (ledger.due, ledger.held):
                    self.expire(key, 2 * RETENTION_S + DRAFT_S)
            self.limits.change(job_id, ledgers, add)

    def over(self, ledgers: tuple[Ledger, ...], add: tuple[int, int, int]) -> str:
        names = {"jobs": "jobs", "bytes": "job-bytes", "rows": "rows"}
        for ledger in ledgers:
            for (total, name), most, more in zip(names.items(), ledger.quotas, add, strict=True):
                adds = max(more, add[0])  # room for one, as long as the size of an upload is unknown
                if most and adds and self.held(ledger).get(total, 0) + adds > most:
                    return f"{ledger.owner}-{name}"
        return ""

    def entry(self, ledger: Ledger, job_id: str) -> list[int]:
        return [int(part) for part in self.held(ledger).get(job_id, "0:0:0").split(":")]

    def enter(self, ledger: Ledger, job_id: str, own: list[int] | None, at: float = 0.0) -> None:
        old, held = self.entry(ledger, job_id), self.held(ledger)
        for total, before, after in zip(("jobs", "bytes", "rows"), old, own or (0, 0, 0), strict=True):
            held[total] = held.get(total, 0) + after - before
        if own is None:
            held.pop(job_id, None)
            self.due(ledger).pop(job_id, None)
        else:
            held[job_id] = ":".join(map(str, own))
            self.due(ledger)[job_id] = at

    def look(self, ledger: Ledger, until: float) -> None:
        for job_id in [job_id for job_id, at in self.due(ledger).items() if at <= until]:
            record = JobKeys(job_id).record
            job = self.model.get(record)
            if job is None:
                self.enter(ledger, job_id, None)
            elif job["status"] == "RUNNING":
                size = job["input_bytes"] + job.get("result_bytes", 0)
                self.enter(ledger, job_id, [1, size, job["total"]], self.now + LOOK_EVERY_S)
            else:
                left = min(self.ends.get(record, math.inf) - self.now, KEPT_EVERY_S)
                self.enter(ledger, job_id, [0, job.get("result_bytes", 0), 0], self.now + left)

    @rule(
        job_id=ids,
        status=st.sampled_from(["RUNNING", "RUNNING", "SUCCEEDED", "CANCELLED"]),
        sizes=st.tuples(st.integers(0, BYTES), st.integers(1, ROWS), st.none() | st.integers(0, BYTES)),
    )
    def settle(self, job_id: str, status: str, sizes: tuple[int, int, int | None]) -> None:
        """A job is stored or has changed; its ledgers count it by its record at the next look."""
        record, (size, rows, results) = JobKeys(job_id).record, sizes
        job: dict[str, Any] = {"status": status, "input_bytes": size, "total": rows}
        if results is not None:
            job["result_bytes"] = results
        self.redis.delete(record)
        self.redis.hset(record, mapping=cast(dict[Any, Any], job))
        self.redis.expire(record, RETENTION_S)
        self.model[record] = job
        self.expire(record, RETENTION_S)
        self.give_back(job_id)

    @rule(job_id=ids)
    def give_back(self, job_id: str) -> None:
        for ledger in LEDGERS:
            if job_id in self.due(ledger):
                self.redis.zadd(ledger.due, {job_id: 0})
                self.due(ledger)[job_id] = 0.0

    @rule(job_id=ids)
    def expire_job(self, job_id: str) -> None:
        record = JobKeys(job_id).record
        self.redis.delete(record)
        self.drop(record)

    @rule(seconds=st.sampled_from([5, DRAFT_S, RETENTION_S, 2 * RETENTION_S]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)


RATES: Final = {"key:k": 4, "tenant:%d*\n\x00é": 10}
amounts = st.integers(0, 60)


class Rates(ComparedWithRedis):
    """Two buckets of all processes. Reports come late, twice and out of order; times are exact fractions."""

    @rule(
        reports=st.lists(
            st.tuples(st.sampled_from(list(RATES)), amounts, amounts, st.integers(0, 24)),
            min_size=1,
            max_size=3,
        )
    )
    def take(self, reports: list[tuple[str, int, int, int]]) -> None:
        things: Any = []
        expected: list[Any] = []
        for subject, taken, asked, eighths in reports:
            key, rate, elapsed = f"ml:limits:readings:{subject}", RATES[subject], eighths / 8
            things.append(([key], [rate, taken, asked, elapsed]))
            held = self.model.get(key)
            # The time before this process was here last fills the bucket. Then comes its own time and use.
            before = float(rate)
            if held:
                before = min(rate, held["tokens"] + (self.now - held["at"] - elapsed) * rate)
            held = self.model.setdefault(key, {"asked": 0})
            tokens = min(rate, before + elapsed * rate - taken)
            held.update(tokens=float(max(tokens, -MAX_DEBT_S * rate)), at=self.now)
            held["asked"] += asked
            self.expire(key, SHARED_TTL_S)
            expected += [held["tokens"], held["asked"]]
        replies = self.redis.run(for_each(_TAKE, [SHARED_TTL_S, MAX_DEBT_S], things))
        found = [value for reply in replies for value in reply]
        assert [float(tokens) for tokens in found[::2]] == expected[::2]
        assert found[1::2] == expected[1::2]

    @precondition(lambda self: self.model)
    @rule()
    def never_more_than_a_second_is_saved(self) -> None:
        for subject, rate in RATES.items():
            held = self.model.get(f"ml:limits:readings:{subject}")
            assert held is None or -MAX_DEBT_S * rate <= held["tokens"] <= rate

    @rule(seconds=st.sampled_from([0.125, 1, 5, SHARED_TTL_S]))
    def wait(self, seconds: float) -> None:
        self.advance(seconds)


def test_limits_of_jobs_are_as_a_plain_model_of_them(redis: RunningServer) -> None:
    check(LimitsOfJobs, redis.url)


def test_shared_rates_are_as_a_plain_model_of_them(redis: RunningServer) -> None:
    check(Rates, redis.url)
