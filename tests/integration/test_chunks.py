"""Chunks of jobs at their edges, on a real Redis that no worker looks at."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

import orjson
import pytest
import redis
from redis import Redis

from tasks.jobs.chunks import MISSED_S, WORKERS_KNOWN_S, Chunks
from tasks.jobs.job_keys import JobKeys
from tasks.jobs.job_record import Job
from tasks.jobs.job_store import JobStore
from tasks.messaging.names import Queues
from tasks.messaging.task_publisher import TaskPublisher
from tasks.monitoring import heartbeats
from tasks.worker.recovery import Recovery
from tests.batches import ndjson_of
from tests.processes import Web, settings_for, wait_until
from tests.readings import metrics
from tests.services import RunningServer

ROWS, CHUNK_ROWS = 5, 2


@pytest.fixture
def store(lone_redis: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(lone_redis.url) as redis:
        yield redis


@pytest.fixture
def chunks(lone_redis: RunningServer, store: Redis) -> Chunks:
    settings = settings_for(lone_redis.url)
    return Chunks(settings, store, TaskPublisher(settings))


@pytest.fixture
def job(lone_redis: RunningServer, store: Redis) -> Job:
    draft = JobStore(settings_for(lone_redis.url), store).draft(
        kind="failure",
        tenant=None,
        store=False,
        encoding="ndjson",
        chunk_rows=CHUNK_ROWS,
        now=time.time(),
    )
    for first in range(0, ROWS, CHUNK_ROWS):
        rows = min(CHUNK_ROWS, ROWS - first)
        draft.add(rows, b"\n".join(orjson.dumps(metrics()) for _ in range(rows)))
    return draft.commit()


def finish(chunks: Chunks, job: Job, chunk: int) -> None:
    numbers = range(chunk * CHUNK_ROWS, min((chunk + 1) * CHUNK_ROWS, ROWS))
    chunks.finish(
        job.job_id, chunk, [orjson.dumps({"row": number}) for number in numbers], failed=0, errors=[]
    )


def test_a_cancelled_job_shows_all_that_is_done_also_behind_a_gap(
    lonely: tuple[Web, RunningServer], chunks: Chunks, job: Job
) -> None:
    client, address = lonely[0].client, f"/api/v1/jobs/{job.job_id}/results"
    for chunk in (0, 2):
        finish(chunks, job, chunk)
    running = client.get(address).json()
    assert ([each["row"] for each in running["items"]], running["next"]) == ([0, 1], "2")
    assert client.delete(f"/api/v1/jobs/{job.job_id}").json()["done"] == 3

    page = client.get(address).json()
    assert ([each["row"] for each in page["items"]], page["next"]) == ([0, 1, 4], None)
    file = client.get(address, headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line)["row"] for line in file.text.splitlines()] == [0, 1, 4]
    assert "Link" not in file.headers
    for accept in ("application/json", "application/x-ndjson"):
        first = client.get(f"{address}?limit=1&cursor=1", headers={"Accept": accept})
        assert 'rel="next"' in first.headers["Link"]
        rest = client.get(first.headers["Link"].split(">")[0].lstrip("<"), headers={"Accept": accept})
        assert rest.text.count('"row"') == 1
        assert "4" in rest.text


def two_processes_sign_on(store: Redis) -> None:
    """They are taken for alive for some seconds."""
    for pid in (1, 2):
        heartbeats.beat(store, heartbeats.WorkerState("batch@here", pid, [Queues.BATCH], [], None, 0, 0.0))


def test_a_small_job_is_shared_and_a_large_one_leaves_one_process_to_others(
    chunks: Chunks, job: Job, store: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_processes_sign_on(store)
    monkeypatch.setattr("tasks.jobs.chunks.LARGE_ROWS", ROWS - 1)
    assert chunks.feed(job.job_id) == 1
    assert chunks.feed(job.job_id) == 0
    finish(chunks, job, 0)
    assert chunks.feed(job.job_id) == 1
    monkeypatch.setattr("tasks.jobs.chunks.LARGE_ROWS", ROWS)
    assert chunks.feed(job.job_id) == 1
    sent = {
        json.loads(base64.b64decode(json.loads(raw)["body"]))[0][0]["chunk"]
        for raw in cast(list[bytes], store.lrange(Queues.BATCH, 0, -1))
        if job.job_id.encode() in base64.b64decode(json.loads(raw)["body"])
    }
    assert sent == {0, 1, 2}


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson", "text/csv"])
def test_all_processes_get_a_part_of_a_small_upload(
    lonely: tuple[Web, RunningServer], store: Redis, media_type: str
) -> None:
    readings = [metrics(charger_id=f"EVZ-{number}") for number in range(300)]
    if media_type == "application/json":
        content = orjson.dumps({"chargers": readings})
    elif media_type == "text/csv":
        content = "\n".join(
            ["charger_id,connector_status", *(f"{each['charger_id']},CHARGING" for each in readings)]
        ).encode()
    else:
        content = ndjson_of(readings)
    two_processes_sign_on(store)
    wait_until(lambda: len(heartbeats.living(store)) >= 2, what="two workers")
    time.sleep(WORKERS_KNOWN_S)  # as long may web believe what it knew
    answer = lonely[0].client.post(
        "/api/v1/predictions/batch", content=content, headers={"Content-Type": media_type}
    )
    record = store.hgetall(JobKeys(answer.json()["job_id"]).record)
    assert (record[b"total"], record[b"chunks"]) == (b"300", b"2")


def test_a_task_that_is_neither_begun_nor_queued_is_sent_again_in_seconds(
    chunks: Chunks, job: Job, store: Redis
) -> None:
    store.delete(Queues.BATCH)
    sent = chunks.feed(job.job_id)
    assert sent
    assert chunks.send_lost(job.job_id) == 0
    store.delete(Queues.BATCH)  # as a crash does
    assert chunks.send_lost(job.job_id) == 0  # a worker may just have taken them
    for chunk in cast(list[bytes], store.zrange(JobKeys(job.job_id).sent, 0, -1)):
        store.zincrby(JobKeys(job.job_id).sent, -MISSED_S, chunk)  # so much later
    assert chunks.send_lost(job.job_id) == sent
    assert store.llen(Queues.BATCH) == sent


def test_an_outage_does_not_slow_the_rate_of_late_but_that_of_the_whole_run(
    lonely: tuple[Web, RunningServer], chunks: Chunks, store: Redis
) -> None:
    """Two rows a second, then nothing for a minute, two a second again, then ten: by the record's times."""
    steps = [0.5] * 20 + [60.0] + [0.5] * 20 + [0.1] * 300
    total = len(steps) + 1
    draft = JobStore(settings_for(lonely[1].url), store).draft(
        kind="failure", tenant=None, store=False, encoding="ndjson", chunk_rows=1, now=time.time()
    )
    for _ in range(total):
        draft.add(1, b"{}")
    job_id, record = draft.commit().job_id, JobKeys(draft.job_id).record

    def finish_after(seconds: float, chunk: int) -> None:
        for name in ("started_at", "pace_at"):
            if store.hexists(record, name):
                store.hincrbyfloat(record, name, -seconds)
        chunks.finish(job_id, chunk, [b"{}"], failed=0, errors=[])

    def shown() -> tuple[float, float]:
        state = lonely[0].client.get(f"/api/v1/jobs/{job_id}").json()
        return state["rows_per_second"], state["eta_seconds"]

    with chunks.started(job_id, 0, task_id="a", redelivered=False):
        pass
    for chunk, seconds in enumerate(steps):
        finish_after(seconds, chunk)
        if seconds >= 0.5:
            assert shown() == pytest.approx((2, (total - chunk - 1) / 2), rel=0.1), chunk
    assert shown() == pytest.approx((10, 0.1), rel=0.2)
    finish_after(0.5, total - 1)
    assert shown() == pytest.approx((total / (sum(steps) + 0.5), 0), rel=0.1)


def test_every_key_of_a_job_expires(chunks: Chunks, job: Job, store: Redis) -> None:
    keys = JobKeys(job.job_id)
    chunks.feed(job.job_id)
    with chunks.started(job.job_id, 0, task_id="a", redelivered=False) as attempt:
        assert attempt == 1
        left = {key: store.ttl(key) for key in keys.all if store.exists(key)}
        assert {keys.record, keys.input, keys.sent, keys.held, keys.attempts} <= set(left)
        assert min(left.values()) > 0
        store.delete(keys.record)  # the job has expired in a worker's hands
    assert chunks.open_jobs() == []
    assert not store.exists(*keys.all)


def test_who_has_not_heard_that_a_chunk_is_his_may_ask_again(
    chunks: Chunks, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the client does by itself when the connection is lost before the answer."""
    mine, other = uuid.uuid4(), uuid.uuid4()
    for token, expected in ((mine, 1), (mine, 1), (other, 0)):
        monkeypatch.setattr(uuid, "uuid4", lambda token=token: token)
        with chunks.started(job.job_id, 0, task_id="a", redelivered=False) as attempt:
            assert attempt == expected


@pytest.mark.parametrize("redelivered", [False, True])
def test_the_same_question_is_one_attempt(
    chunks: Chunks, job: Job, monkeypatch: pytest.MonkeyPatch, redelivered: bool
) -> None:
    token = uuid.uuid4()
    monkeypatch.setattr(uuid, "uuid4", lambda: token)
    for _ in range(3):
        with chunks.started(job.job_id, 0, task_id="a", redelivered=redelivered) as attempt:
            assert attempt == 1


def test_a_task_delivered_again_takes_its_own_chunk_back_and_no_others(chunks: Chunks, job: Job) -> None:
    def attempt(task_id: str, *, redelivered: bool) -> int:
        with chunks.started(job.job_id, 0, task_id=task_id, redelivered=redelivered) as attempt:
            return attempt

    assert attempt("a", redelivered=False) == 1  # and its worker dies
    assert attempt("a", redelivered=True) == 2  # nobody needs to wait for the lease
    assert attempt("b", redelivered=True) == 0  # who took "b" is gone; "a" is in live hands


def test_a_damaged_record_keeps_no_other_job_waiting(
    lone_redis: RunningServer, chunks: Chunks, job: Job, store: Redis
) -> None:
    store.delete(Queues.BATCH)
    store.hdel(JobKeys(job.job_id).record, "next")
    other = JobStore(settings_for(lone_redis.url), store).draft(
        kind="failure", tenant=None, store=False, encoding="ndjson", chunk_rows=1, now=time.time()
    )
    other.add(1, orjson.dumps(metrics()))
    other.commit()
    assert Recovery(store, chunks).look() == 1


def begin(chunks: Chunks, job: Job, *, ends: Exception | None = None) -> int:
    """Take the first chunk in hand and let go of it again, by `ends` if given; which attempt it was."""
    attempts: list[int] = []
    with (
        suppress(*([] if ends is None else [type(ends)])),
        chunks.started(job.job_id, 0, task_id="t", redelivered=True) as attempt,
    ):
        attempts.append(attempt)
        if ends is not None:
            raise ends
    return attempts[0]


@pytest.mark.parametrize("outage", [redis.ConnectionError("gone"), redis.TimeoutError("mute")])
def test_outages_of_redis_count_as_no_attempts(chunks: Chunks, job: Job, outage: Exception) -> None:
    assert [begin(chunks, job, ends=outage) for _ in range(7)] == [1] * 7
    assert begin(chunks, job, ends=ValueError("died")) == 1
    assert begin(chunks, job) == 2


def test_an_attempt_is_given_back_when_redis_is_there_again(
    lone_redis: RunningServer, chunks: Chunks, job: Job, store: Redis
) -> None:
    begin(chunks, job, ends=redis.ConnectionError("gone"))
    store.execute_command("WAITAOF", 1, 0, 5000)  # type: ignore[no-untyped-call]  # a kill loses what is not on disk
    lone_redis.kill()
    with pytest.raises(redis.ConnectionError):
        chunks.renew()
    lone_redis.restart()
    wait_until(lambda: bool(store.ping()), what="Redis")
    chunks.renew()
    chunks.renew()  # once
    assert begin(chunks, job) == 1
