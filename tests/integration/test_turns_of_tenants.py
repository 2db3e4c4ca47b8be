"""Tenants take turns on the queue of chunks, and a tenant's jobs too: on a real Redis, the test as worker."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tasks.jobs.chunks import CHUNKS_A_WORKER, LEASE_S, SENT_S, Chunks, Counted
from tasks.jobs.job_keys import OPEN_KEY, JobKeys
from tasks.jobs.job_record import Job
from tasks.jobs.job_store import JobStore
from tasks.messaging.names import Queues
from tasks.messaging.task_publisher import TaskPublisher
from tasks.monitoring import heartbeats
from tasks.worker import recovery
from tasks.worker.recovery import Recovery
from tests.processes import settings_for
from tests.services import RunningServer

PROCESSES = 3
ENOUGH = CHUNKS_A_WORKER * PROCESSES


class Bench:
    """Jobs of one row a chunk, and the queue."""

    def __init__(self, url: str) -> None:
        configured = settings_for(url)
        self.redis: Redis = Redis.from_url(url)
        self.jobs = JobStore(configured, self.redis)
        self.chunks = Chunks(configured, self.redis, TaskPublisher(configured))
        self.begin_again()

    def begin_again(self) -> None:
        self.redis.flushdb()
        for pid in range(PROCESSES):
            state = heartbeats.WorkerState("batch@here", pid, [Queues.BATCH], [], None, 0, 0.0)
            heartbeats.beat(self.redis, state)

    def job(self, tenant: str | None, chunks: int) -> Job:
        """A job that is accepted and not fed, as by a release that knows no turns."""
        draft = self.jobs.draft(
            kind="failure", tenant=tenant, store=False, encoding="ndjson", chunk_rows=1, now=time.time()
        )
        for _ in range(chunks):
            draft.add(1, b"{}")
        return draft.commit()

    def fed(self, tenant: str | None, chunks: int) -> Job:
        job = self.job(tenant, chunks)
        self.chunks.feed(job.job_id)
        return job

    def queued(self) -> list[tuple[str, int]]:
        """Job and chunk of each task, the next one first."""
        found = []
        for raw in reversed(cast(list[bytes], self.redis.lrange(Queues.BATCH, 0, -1))):
            message = json.loads(base64.b64decode(json.loads(raw)["body"]))[0][0]
            found.append((str(message["job_id"]), int(message["chunk"])))
        return found

    def take(self) -> tuple[str, int]:
        """Take the next task off the queue. Raises `IndexError` if there is none."""
        task = self.queued()[0]
        self.redis.rpop(Queues.BATCH)
        return task

    def score_all(self) -> list[tuple[str, int]]:
        """Score until the queue is empty. Returns the tasks in their order."""
        done = []
        while self.redis.llen(Queues.BATCH):
            done.append(self.take())
            self.score(*done[-1])
        return done

    def score(self, job_id: str, chunk: int) -> Counted:
        """What `score_chunk` does with a task."""
        counted = Counted.NOT
        with self.chunks.started(job_id, chunk, task_id="t", redelivered=False) as attempt:
            if attempt:
                counted = self.chunks.finish(job_id, chunk, [b"{}"], failed=0, errors=[])
        self.chunks.feed(job_id)
        return counted

    def recover(self) -> int:
        self.redis.delete(recovery.LOCK_KEY)
        return Recovery(self.redis, self.chunks).look()

    def pass_time(self, seconds: float) -> None:
        """Let leases and sent tasks become so much older."""
        for raw in cast(set[bytes], self.redis.smembers(OPEN_KEY)):
            keys = JobKeys(raw.decode())
            for key in (keys.sent, keys.held):
                for member in cast(list[bytes], self.redis.zrange(key, 0, -1)):
                    self.redis.zincrby(key, -seconds, member)

    def state(self, job: Job) -> Job:
        found = self.jobs.find(job.job_id)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def bench(redis: RunningServer) -> Iterator[Bench]:
    bench = Bench(redis.url.replace("/0", "/10"))  # no worker reads it
    yield bench
    bench.redis.flushdb()
    bench.redis.close()


@pytest.fixture(autouse=True)
def fresh(bench: Bench) -> None:
    bench.begin_again()


@pytest.mark.owasp("API4", "a tenant with many jobs cannot hold up another one's job")
def test_many_jobs_of_one_tenant_have_as_many_tasks_as_one(bench: Bench) -> None:
    for _ in range(30):
        bench.fed("a", 40)
    assert len(bench.queued()) == ENOUGH
    small = bench.fed("b", 2)
    assert [job_id for job_id, _ in bench.queued()[ENOUGH:]] == [small.job_id] * 2
    for _ in range(ENOUGH + 2):
        bench.score(*bench.take())
    assert bench.state(small).status == "SUCCEEDED"


def test_jobs_without_a_tenant_are_those_of_one_more(bench: Bench) -> None:
    for tenant in (None, "a", None, "a"):
        bench.fed(tenant, 40)
    assert len(bench.queued()) == 2 * ENOUGH


def test_the_jobs_of_a_tenant_take_turns(bench: Bench) -> None:
    jobs = [bench.fed("a", 20) for _ in range(3)]
    order = [job_id for job_id, _ in bench.score_all()]
    # The first job had all tasks before the others came.
    after = order[ENOUGH : ENOUGH + 3 * 12]
    assert [after.count(job.job_id) for job in jobs] == [12, 12, 12]
    assert all(len(set(after[at : at + 3])) == 3 for at in range(0, len(after), 3))
    assert {bench.state(job).status for job in jobs} == {"SUCCEEDED"}


def test_large_jobs_of_a_tenant_leave_one_process_to_its_other_jobs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.jobs.chunks.LARGE_ROWS", 9)
    large = {bench.fed("a", 10).job_id for _ in range(4)}
    assert len(bench.queued()) == PROCESSES - 1
    small = bench.fed("a", 9)
    tasks = bench.queued()
    assert len(tasks) == ENOUGH
    assert sum(job_id in large for job_id, _ in tasks) == PROCESSES - 1
    bench.score_all()
    assert {bench.jobs.find(each).status for each in large} == {"SUCCEEDED"}  # type: ignore[union-attr]  # they are there
    assert bench.state(small).status == "SUCCEEDED"


def test_the_end_of_a_job_is_the_next_ones_turn(bench: Bench) -> None:
    jobs = [bench.fed("a", 1) for _ in range(ENOUGH + 2)]
    assert [job_id for job_id, _ in bench.queued()] == [job.job_id for job in jobs[:ENOUGH]]
    assert bench.score(*bench.take()) is Counted.LAST
    assert bench.queued()[-1][0] == jobs[ENOUGH].job_id


def test_a_cancelled_job_gives_its_turn_away(bench: Bench) -> None:
    first, second = bench.fed("a", 2 * ENOUGH), bench.fed("a", 2)
    assert bench.jobs.cancel(first, time.time())
    assert bench.score(*bench.take()) is Counted.NOT
    assert [job_id for job_id, _ in bench.queued()[-2:]] == [second.job_id] * 2


def test_an_expired_job_gives_its_turn_away(bench: Bench) -> None:
    first, second = bench.fed("a", 2 * ENOUGH), bench.fed("a", 2)
    bench.redis.delete(*JobKeys(first.job_id).all)
    assert bench.recover() == 2
    assert [job_id for job_id, _ in bench.queued()[-2:]] == [second.job_id] * 2


def test_jobs_whose_turns_are_lost_or_that_never_had_any_go_on(bench: Bench) -> None:
    """Redis has lost its last second, or a web process of the release before has accepted the job."""
    unknown, known = bench.job("a", 3), bench.fed("a", 2)
    bench.redis.delete("ml:tenant:a:jobs:turns", "ml:tenant:a:jobs:active")
    assert bench.recover() == 3
    bench.score_all()
    assert {bench.state(job).status for job in (unknown, known)} == {"SUCCEEDED"}


def test_a_damaged_record_keeps_no_other_job_of_its_tenant_waiting(bench: Bench) -> None:
    damaged, wrong, sound = (bench.job("a", 2) for _ in range(3))
    bench.chunks.feed(damaged.job_id)
    bench.redis.zadd("ml:tenant:a:jobs:turns", {damaged.job_id: 0, wrong.job_id: 0})
    bench.redis.hdel(JobKeys(damaged.job_id).record, "next")
    bench.redis.set(JobKeys(wrong.job_id).record, "no record")
    assert bench.recover() == 2
    assert [job_id for job_id, _ in bench.queued()[-2:]] == [sound.job_id] * 2


def test_nothing_is_left_of_the_turns_of_jobs_that_have_ended(bench: Bench) -> None:
    for tenant in (None, "a", "b"):
        bench.fed(tenant, 4)
    keys = cast(list[bytes], bench.redis.keys("*jobs:turns*")) + cast(
        list[bytes], bench.redis.keys("*active")
    )
    assert all(bench.redis.ttl(key) > 0 for key in keys)
    bench.score_all()
    assert not bench.redis.keys("*jobs:turns*")
    assert not bench.redis.keys("*jobs:active")


EVENTS = st.sampled_from(
    ["job", "unfed job", "score", "score", "score", "die", "skip", "cancel", "lose", "recover"]
)
TENANTS = (None, "a", "b")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(EVENTS, st.integers(0, 11)), max_size=40))
def test_whatever_happens_each_job_ends_and_no_tenant_has_more_than_its_share(
    bench: Bench, events: list[tuple[str, int]]
) -> None:
    bench.begin_again()
    jobs: list[Job] = []
    cancelled: set[str] = set()
    counted: list[tuple[str, int]] = []

    def score() -> bool:
        if not bench.queued():
            return False
        task = bench.take()
        if bench.score(*task) is not Counted.NOT:
            counted.append(task)
        return True

    for event, number in events:
        match event:
            case "job" | "unfed job":
                make = bench.fed if event == "job" else bench.job
                jobs.append(make(TENANTS[number % 3], 1 + number))
            case "score":
                score()
            case "die" if bench.queued():  # with the chunk in hand, or before that
                task = bench.take()
                if number % 2:
                    with bench.chunks.started(*task, task_id="t", redelivered=False):
                        pass
            case "cancel" if jobs:
                job = jobs[number % len(jobs)]
                if bench.jobs.cancel(job, time.time()):
                    cancelled.add(job.job_id)
            case "lose":  # in a crash of Redis
                bench.redis.delete(Queues.BATCH)
            case "recover":
                bench.pass_time(number * LEASE_S / 4)
                bench.recover()
            case _:
                pass
        for tenant in TENANTS:
            mine = [JobKeys(job.job_id) for job in jobs if job.tenant == tenant]
            out = sum(bench.redis.zcard(keys.sent) + bench.redis.zcard(keys.held) for keys in mine)
            assert out <= ENOUGH
    for _ in range(3 * len(jobs) + 12):
        while score():
            pass
        bench.pass_time(SENT_S + LEASE_S)
        bench.recover()
    for job in jobs:
        assert bench.state(job).status == ("CANCELLED" if job.job_id in cancelled else "SUCCEEDED")
    assert len(counted) == len(set(counted))
    assert bench.redis.smembers(OPEN_KEY) == set()
