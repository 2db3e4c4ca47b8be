"""Disk, Redis and memory that are full: jobs are refused with 507, and nothing else suffers."""

from __future__ import annotations

import gzip
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from tasks.messaging.names import Queues
from tests import parquet_bombs
from tests.batches import NDJSON, PARQUET, ended, job_of, ndjson_of, post_file, results_of
from tests.http_jobs import assert_problem, submit
from tests.processes import Web, environment, start_worker, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer, start_redis

FAILURE = "/api/v1/predictions/failure"
LARGE = ndjson_of(metrics() for _ in range(60_000))
SMALL_DISK = 'mount -t tmpfs -o size=24m none "$0" && exec "$@"'


def refused(answer: httpx.Response, said: str) -> None:
    problem = assert_problem(answer, 507, "insufficient_storage")
    assert said in problem["detail"]
    assert int(answer.headers["Retry-After"]) > 0


def shed(client: httpx.Client) -> bool:
    return 'ml_requests_shed_total{capacity="storage"}' in client.get("/metrics").text


@pytest.fixture(scope="module")
def full_redis() -> Iterator[tuple[Web, Redis]]:
    with start_redis() as server, Redis.from_url(server.url) as redis:
        env = environment(server.url)
        with start_worker(Queues.SINGLE, env) as worker, Web(env) as web:
            wait_until(web.ready, what="readiness", log=lambda: worker.log() + web.log())
            yield web, redis


def storage(web: Web) -> dict[str, Any]:
    found: dict[str, Any] = web.client.get("/health").json()["checks"]["storage"]
    return found


@pytest.mark.owasp("API4", "jobs are refused with 507 before Redis is full, and single predictions go on")
def test_jobs_are_refused_before_redis_is_full(full_redis: tuple[Web, Redis]) -> None:
    web, redis = full_redis
    submit(web.client, [metrics()])
    assert storage(web)["status"] == "ok"
    for _ in range(500):  # in small commands: the buffer of a large one counts for a while
        redis.append("filling", b"x" * 100_000)
    redis.config_set("maxmemory", round(redis.info("memory")["used_memory"] / 0.95))
    try:
        wait_until(lambda: storage(web)["status"] == "down", what="health to notice")
        assert "jobs are refused above 90%" in storage(web)["detail"]
        refused(post_file(web.client, ndjson_of([metrics()]), NDJSON), "Redis uses")
        assert web.client.post(FAILURE, json=request()).status_code == 200
        assert web.client.get("/health/ready").status_code == 200
        assert shed(web.client)
    finally:
        redis.config_set("maxmemory", 0)
        redis.delete("filling")
    wait_until(lambda: storage(web)["status"] == "ok", what="health to notice")
    submit(web.client, [metrics()])


@pytest.mark.owasp("API4", "a Redis that refuses writes makes a job 507, never 500, and leaves nothing of it")
@pytest.mark.parametrize("body", [ndjson_of([metrics()]), LARGE], ids=["small", "large"])
def test_a_full_redis_refuses_jobs_and_keeps_none_of_them(full_redis: tuple[Web, Redis], body: bytes) -> None:
    web, redis = full_redis
    before = set(redis.scan_iter("ml:job*"))
    redis.config_set("maxmemory", 1)
    try:
        key = {"Idempotency-Key": f"full-{len(body)}"}
        answer = post_file(web.client, body, NDJSON, **key)
        # The watermark may have been looked up before, and after.
        assert_problem(answer, 507, "insufficient_storage")
    finally:
        redis.config_set("maxmemory", 0)
    assert set(redis.scan_iter("ml:job*")) == before
    wait_until(lambda: storage(web)["status"] == "ok", what="health to notice")
    job_of(post_file(web.client, body, NDJSON, **key))


@pytest.mark.owasp("API4", "a disk that fills while a body is received is 507, and the file is gone")
def test_a_disk_that_fills_is_507(redis: RunningServer) -> None:
    with Web(environment(redis.url.replace("/0", "/10"))) as web:
        job_of(post_file(web.client, LARGE, NDJSON))
        for pid in web.children():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (5_000_000, resource.RLIM_INFINITY))
        refused(post_file(web.client, LARGE, NDJSON), "The disk is full")
        submit(web.client, [metrics()])  # needs no disk
        for pid in web.children():
            open_files = [Path(os.readlink(file)) for file in Path(f"/proc/{pid}/fd").iterdir()]
            bodies = [file for file in open_files if file.parent == Path(tempfile.gettempdir())]
            assert not [file for file in bodies if file.name.endswith("(deleted)")]


@pytest.mark.owasp("API4", "large bodies are refused with 507 while a tenth of the disk is free")
@pytest.mark.parametrize(("setting", "said"), [("512000000", "keeps 3 MB free"), ("0", "The disk is full")])
def test_a_small_disk_is_never_filled(redis: RunningServer, tmp_path: Path, setting: str, said: str) -> None:
    mounted = ["unshare", "-rm", "sh", "-c", SMALL_DISK, str(tmp_path)]
    if subprocess.run([*mounted, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a file system of their own")
    env = environment(redis.url.replace("/0", "/10"), TMPDIR=str(tmp_path), ML_MIN_FREE_DISK_BYTES=setting)
    with Web(env, within=mounted) as web:
        body = LARGE * 3
        assert len(body) > 24_000_000
        refused(post_file(web.client, body, NDJSON), said)
        refused(post_file(web.client, gzip.compress(body), NDJSON, **{"Content-Encoding": "gzip"}), said)
        job_of(post_file(web.client, LARGE, NDJSON))  # the room is there again


@pytest.mark.owasp("API4", "a request that needs more memory than its process may have fails alone with 507")
def test_a_request_that_needs_too_much_memory_fails_alone(redis: RunningServer) -> None:
    body = parquet_bombs.many_codes(14_000_000)
    env = environment(redis.url.replace("/0", "/10"), ML_PROCESS_MEMORY_BYTES="1000000000")
    with Web(env) as web:
        (pid,) = [pid for pid in web.children() if "granian" in Path(f"/proc/{pid}/cmdline").read_text()][-1:]
        assert resource.prlimit(pid, resource.RLIMIT_DATA)[0] == 1_000_000_000
        status = Path(f"/proc/{pid}/status").read_text().split("VmData:")[1].split()[0]
        # As if other requests held most of it.
        resource.prlimit(
            pid, resource.RLIMIT_DATA, (int(status) * 1024 + 120_000_000, resource.RLIM_INFINITY)
        )
        refused(post_file(web.client, body, PARQUET), "more memory")
        submit(web.client, [metrics()])
        assert pid in web.children()


@pytest.mark.owasp("API4", "rows that need more memory than a worker may have fail alone, and the job ends")
def test_a_chunk_that_needs_too_much_memory_fails_alone(redis: RunningServer) -> None:
    env = environment(redis.url.replace("/0", "/11"), ML_BATCH_CHUNK_ROWS="100")
    heavy = metrics("HEAVY", metadata={"a": [[] for _ in range(150_000)]})
    body = ndjson_of([*(metrics() for _ in range(100)), *[heavy] * 50])
    with start_worker(Queues.SINGLE, env), start_worker(Queues.BATCH, env) as worker, Web(env) as web:
        wait_until(web.ready, what="readiness", log=web.log)
        wait_until(lambda: "ready" in worker.log(), what="the batch worker", log=worker.log)
        (pid,) = worker.children()
        first = job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON))
        assert ended(web.client, first)["failed"] == 0
        held = int(Path(f"/proc/{pid}/status").read_text().split("VmData:")[1].split()[0]) * 1024
        resource.prlimit(pid, resource.RLIMIT_DATA, (held + 30_000_000, resource.RLIM_INFINITY))
        job_id = job_of(post_file(web.client, body, NDJSON))
        assert ended(web.client, job_id)["failed"] == 50
        results = results_of(web.client, job_id)
        assert ["error" in row for row in results] == [False] * 100 + [True] * 50
        assert {row["error"]["code"] for row in results[100:]} == {"scoring_failed"}
        assert "more memory" in results[-1]["error"]["detail"]
        assert worker.children() == [pid]


@pytest.mark.owasp(
    "API4", "a chunk whose results need more memory than a worker may have fails, and the job ends"
)
def test_a_chunk_whose_results_need_too_much_memory_fails_alone(redis: RunningServer) -> None:
    env = environment(redis.url.replace("/0", "/11"), ML_BATCH_CHUNK_ROWS="50")
    body = ndjson_of([*(metrics() for _ in range(50)), metrics("EATS-LATE"), *(metrics() for _ in range(99))])
    with start_worker(Queues.BATCH, env, app="tests.integration.fragile_app") as worker, Web(env) as web:
        wait_until(lambda: "ready" in worker.log(), what="the batch worker", log=worker.log)
        first = job_of(post_file(web.client, ndjson_of([metrics()]), NDJSON))
        assert ended(web.client, first)["failed"] == 0
        (pid,) = worker.children()
        held = int(Path(f"/proc/{pid}/status").read_text().split("VmData:")[1].split()[0]) * 1024
        resource.prlimit(pid, resource.RLIMIT_DATA, (held + 60_000_000, resource.RLIM_INFINITY))
        job_id = job_of(post_file(web.client, body, NDJSON))
        state = ended(web.client, job_id)
        assert (state["status"], state["done"], state["failed"]) == ("SUCCEEDED", 150, 50), worker.log()
        results = results_of(web.client, job_id)
        assert ["error" in row for row in results] == [False] * 50 + [True] * 50 + [False] * 50
        assert "more memory" in results[50]["error"]["detail"]
        assert worker.children() == [pid]
