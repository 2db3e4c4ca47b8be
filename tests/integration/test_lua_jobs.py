"""The scripts of jobs and chunks against a plain model: turns, leases, attempts, results, erasing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tasks.jobs.chunks import LARGE_ROWS, LEASE_S, Chunks
from tasks.jobs.job_erasure import JobErasure
from tasks.jobs.job_keys import OPEN_KEY, JobKeys
from tasks.jobs.job_store import JobStore
from tasks.messaging.names import Queues
from tests.integration.job_model import RETENTION_S, JobModel
from tests.integration.lua_models import TENANTS, check
from tests.processes import settings_for
from tests.services import RunningServer

pytestmark = pytest.mark.timeout(600)  # a counterexample is made shorter for minutes

# Of tasks. The first two are of one task, by two workers.
TOKENS: Final = ("task-1:a", "task-1:b", "task-%:c")
CHUNK_ROWS: Final = (2, LARGE_ROWS + 1)
PROCESSES: Final = (1, 2)
# Ids that name no job, or another key of one.
STRANGE_IDS: Final = ("", "nobody", f"{0:032x}:sent", f"{0:032x}:attempts", "*\x00%")
# How often a command is sent: again after a lost reply.
times = st.sampled_from([1, 1, 2])
# A chunk: of the open jobs in four of five cases, otherwise of any job.
chunks = st.integers(0, 99)


class Reserved:
    """Stands in for a reservation: a job with a chosen id, so that an example repeats."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id

    def add(self, size_bytes: int, rows: int) -> None:
        """Count nothing."""

    def settle(self, pipeline: object) -> None:
        """Count nothing."""


class JobScripts(JobModel):
    """Jobs of two tenants, two of them open at a time."""

    def __init__(self) -> None:
        super().__init__()
        configured = settings_for(self.server_url, ML_JOB_RETENTION=str(RETENTION_S))
        self.queued: list[tuple[str, int]] = []
        publisher = SimpleNamespace(
            send_all=lambda task, messages, queue: self.queued.extend(
                (each["job_id"], each["chunk"]) for each in messages
            )
        )
        self.jobs = JobStore(configured, self.redis)
        self.chunks = Chunks(configured, self.redis, cast(Any, publisher))
        self.chunks._processes_known_until = float("inf")
        self.erasure = JobErasure(self.redis, self.jobs)
        self.parts: list[tuple[JobKeys, int]] = []
        self.rows: dict[str, int] = {}

    def open_parts(self) -> list[tuple[JobKeys, int]]:
        return [part for part in self.parts if self.is_open(part[0])]

    def part(self, number: int) -> tuple[JobKeys, int]:
        parts = self.parts if number % 5 == 4 else self.open_parts() or self.parts
        return parts[number % len(parts)]

    @precondition(lambda self: len({keys for keys, _ in self.open_parts()}) < 2)
    @rule(
        tenant=st.sampled_from(TENANTS),
        chunks=st.integers(1, 5),
        rows=st.sampled_from(CHUNK_ROWS),
    )
    def accept(self, tenant: str | None, chunks: int, rows: int) -> None:
        keys = JobKeys(f"{len(self.rows):032x}")
        draft = self.jobs.draft(
            kind="failure",
            tenant=tenant,
            store=False,
            encoding="ndjson",
            chunk_rows=rows,
            now=int(self.now),
            reservation=cast(Any, Reserved(keys.job_id)),
        )
        for _ in range(chunks):
            draft.add(rows, b"{}")
        draft.commit()
        self.accepted(keys, tenant, chunks, rows)
        self.parts += [(keys, chunk) for chunk in range(chunks)]
        self.rows[keys.job_id] = rows

    @precondition(lambda self: self.parts)
    @rule(
        numbers=st.lists(chunks, max_size=3),
        strange=st.sampled_from([None, None, *STRANGE_IDS]),
        processes=st.sampled_from(PROCESSES),
    )
    def feed(self, numbers: list[int], strange: str | None, processes: int) -> None:
        some = [self.part(number)[0] for number in numbers]
        self.chunks._processes = processes
        self.queued.clear()
        ids = [keys.job_id for keys in some]
        self.chunks.feed(*ids, *([] if strange is None else [strange]))
        expected = []
        given: dict[str, list[JobKeys]] = {}
        for keys in some:
            if self.record(keys):
                given.setdefault(self.record(keys)["tenant"], []).append(keys)
        for tenant, of_tenant in given.items():
            expected += self.fed(tenant, of_tenant, processes)
        assert self.queued == expected

    @precondition(lambda self: self.parts)
    @rule(of=chunks, tasks_wait=st.booleans(), seconds=st.sampled_from([0, 8, 60]))
    def send_lost(self, of: int, tasks_wait: bool, seconds: int) -> None:
        self.advance(seconds)
        keys, _ = self.part(of)
        if tasks_wait:
            self.redis.lpush(Queues.BATCH, "a task")
        self.queued.clear()
        self.chunks.send_lost(keys.job_id)
        self.redis.delete(Queues.BATCH)
        lost = self.lost(keys, tasks_wait)
        assert sorted(self.queued) == sorted((keys.job_id, int(chunk)) for chunk in lost)

    @precondition(lambda self: self.parts)
    @rule(
        of=chunks,
        tries=st.lists(
            st.tuples(st.sampled_from(TOKENS), st.booleans(), st.sampled_from([0, 0, 4, 8])),
            min_size=1,
            max_size=3,
        ),
    )
    def begin(self, of: int, tries: list[tuple[str, bool, int]]) -> None:
        """Start a chunk, whether it was sent or not, by several workers after some seconds each."""
        keys, chunk = self.part(of)
        names = [keys.record, keys.results, keys.sent, keys.held, keys.attempts]
        for token, redelivered, seconds in tries:
            self.advance(seconds)
            task_id = token.partition(":")[0] if redelivered else ""
            args: list[str | float] = [chunk, LEASE_S, task_id, token, RETENTION_S]
            answer = self.chunks._begin(keys=names, args=args)
            assert answer == self.begun(keys, str(chunk), token, task_id)

    @precondition(lambda self: self.parts)
    @rule(of=chunks)
    def renew(self, of: int) -> None:
        keys, chunk = self.part(of)
        self.chunks._in_hand = (keys.job_id, chunk)
        self.chunks.renew()
        if str(chunk) in self.model.get(keys.held, {}):
            self.model[keys.held][str(chunk)] = self.now + LEASE_S

    @precondition(lambda self: self.parts)
    @rule(of=chunks)
    def uncount(self, of: int) -> None:
        keys, chunk = self.part(of)
        self.chunks._to_give_back.append((keys.job_id, chunk))
        self.chunks._give_back()
        attempts = self.model.get(keys.attempts, {})
        if attempts.get(str(chunk), 0) > 0:
            attempts[str(chunk)] -= 1

    @precondition(lambda self: self.parts)
    @rule(of=chunks, failed=st.sampled_from([0, 1, None]), errors=st.sampled_from([0, 1, 6]), times=times)
    def finish(self, of: int, failed: int | None, errors: int, times: int) -> None:
        """Any worker delivers a chunk, leased or not. `failed` rows; None: all."""
        keys, chunk = self.part(of)
        results = [b"{}"] * self.rows[keys.job_id]
        failed = len(results) if failed is None else failed
        told = [{"row": row} for row in range(errors)]
        for _ in range(times):
            counted = self.chunks.finish(keys.job_id, chunk, results, failed=failed, errors=told)
            assert counted == self.finished(keys, str(chunk), results, failed, told)

    @precondition(lambda self: self.parts)
    @rule(of=chunks, times=times)
    def cancel(self, of: int, times: int) -> None:
        keys, _ = self.part(of)
        for _ in range(times):
            was_open = self.jobs.cancel(cast(Any, SimpleNamespace(job_id=keys.job_id)), int(self.now))
            assert was_open == self.cancelled(keys)

    @precondition(lambda self: self.parts)
    @rule(of=chunks)
    def erase_rows(self, of: int) -> None:
        """Results that are there are replaced; results that have expired do not come back."""
        keys, chunk = self.part(of)
        self.erasure._replace(keys=[keys.results], args=[chunk, b"erased"])
        if str(chunk) in self.model.get(keys.results, {}):
            self.model[keys.results][str(chunk)] = b"erased"

    @rule()
    def forget_expired(self) -> None:
        """Recovery removes jobs whose record has expired from the open ones."""
        found = set(self.chunks.open_jobs())
        for keys in map(JobKeys, self.rows):
            if keys.job_id in self.model.get(OPEN_KEY, ()) and not self.record(keys):
                self.drop(*keys.all)
                self.model[OPEN_KEY] -= {keys.job_id}
        assert found == set(self.model.get(OPEN_KEY, ()))

    @rule(seconds=st.sampled_from([1, 4, 8, 55, 60, 60, RETENTION_S]))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)


def test_jobs_are_as_a_plain_model_of_them(redis: RunningServer) -> None:
    check(JobScripts, redis.url, examples=150, steps=50)
