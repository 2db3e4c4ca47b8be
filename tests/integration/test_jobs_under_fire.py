"""A batch job ends with every row scored once, whoever is killed meanwhile: real processes, real SIGKILL.

`SOAK=1` makes it the long form: a million rows. `SEED=…` repeats a run's kills at the same progress.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, cast

import httpx
import orjson
import pyarrow as pa
import pytest
from redis import Redis, RedisError

from bench.fleet_file import fleet_table
from models.scorer import Scorer
from readings import arrow as tables
from readings.reading import Reading
from tasks.jobs.job_keys import JobKeys
from tasks.messaging.names import Queues
from tasks.monitoring.heartbeats import living
from tests.batches import NDJSON, PARQUET, ended, job_of, pages, parquet_of, post_file
from tests.processes import Process, Web, environment, settings_for, start_worker, wait_until
from tests.readings import metrics
from tests.services import RunningServer, start_redis
from tests.verdicts import TOLERANCE, unlike

SOAK: Final = os.environ.get("SOAK") == "1"
SEED: Final = int(os.environ.get("SEED", "0")) or random.randrange(1, 10**6)
ROWS: Final = 1_000_000 if SOAK else 30_000
# Small enough in the short form that there is a chunk in hand whenever somebody is killed.
CHUNK_ROWS: Final = "4096" if SOAK else "150"
OTHER_ROWS: Final = 2_000
WORKERS: Final = 2
CHILD_KILLS: Final = 7
WORKER_KILLS: Final = 3
WEB_KILLS: Final = ["web", "web during an upload"]
# A web process takes seconds to come back, and is killed twice.
LAST_KILL_AT: Final = ROWS * 7 // 10
LAST_WEB_KILL_AT: Final = ROWS // 4
DEADLINE_S: Final = 1500 if SOAK else 90
PATIENCE_S: Final = 30.0
SCORED_AT_ONCE: Final = 4096
# What the service adds to a verdict.
ADDED: Final = ("row", "tenant_id", "timestamp", "reading_stale", "cached", "degraded", "fingerprint")


def say(text: str) -> None:
    """For the report of a failed run, or of any with `-s`."""
    print(text)  # noqa: T201 - which run it was, if it fails


class Service:
    """Redis, a web process and batch workers, each started again by us once it is killed."""

    def __init__(self, redis: RunningServer, chance: random.Random) -> None:
        self.redis_server = redis
        self.redis = Redis.from_url(redis.url)
        self.kills: Counter[str] = Counter()
        self.redis_peak_bytes = 0
        self.other_job_id = ""
        self._chance = chance
        self._env = environment(redis.url, ML_BATCH_CHUNK_ROWS=CHUNK_ROWS)
        self.workers = [self._start_worker(number) for number in range(WORKERS)]
        self.web = Web(self._env)
        for worker in self.workers:
            wait_until(partial(_is_ready, worker), what="a worker", log=worker.log)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._supervisor = threading.Thread(target=self._supervise)
        self._supervisor.start()
        # Until the end: what a thread has started ends with it (stack/die_with_parent.py).
        self.sides = ThreadPoolExecutor(2)

    def _start_worker(self, number: int) -> Process:
        return start_worker(Queues.BATCH, self._env, name=f"batch{number}")

    def _supervise(self) -> None:
        while not self._over.wait(0.2):
            with self._lock:
                for number, worker in enumerate(self.workers):
                    if worker.process.poll() is not None:
                        worker.stop()
                        self.workers[number] = self._start_worker(number)

    def kill_child(self) -> None:
        """A process that scores, and not its parent, which starts another."""
        wait_until(self._kill_one, what="a process to kill", log=self.logs)

    def _kill_one(self) -> bool:
        scoring = self._scoring()
        if not scoring:
            return False
        try:
            os.kill(self._chance.choice(scoring), signal.SIGKILL)
        except ProcessLookupError:  # its parent, which was killed before, has only now taken it along
            return False
        return True

    def _scoring(self) -> list[int]:
        """The processes that have said they hold models, and live."""
        told = {worker.pid for worker in living(self.redis) if worker.able}
        return sorted(told & {pid for worker in self.workers for pid in worker.children()})

    def kill_worker(self) -> None:
        """The parent and its children at once."""
        with self._lock:
            self._chance.choice(self.workers).kill()

    def kill_redis(self) -> None:
        self.note_redis_peak()
        self.redis_server.kill()
        time.sleep(0.5)
        self.redis_server.restart()

    def kill_web(self) -> None:
        self.web.kill()
        self.web.stop()
        self.web = Web(self._env, self.web.port)

    def kill_web_during_an_upload(self) -> None:
        """Of another batch, whose sender then sends it again, and once more for good measure."""
        body = b"\n".join(orjson.dumps(metrics()) for _ in range(OTHER_ROWS))
        key = {"Idempotency-Key": "the-other-batch"}

        def halves() -> Iterator[bytes]:
            yield body[: len(body) // 2]
            self.kill_web()
            yield body[len(body) // 2 :]

        with pytest.raises(httpx.TransportError):
            post_file(self.web.client, halves(), NDJSON, **key)
        self.other_job_id = self.post_patiently(body, key)
        assert self.post_patiently(body, key) == self.other_job_id

    def post_patiently(self, body: bytes, key: dict[str, str]) -> str:
        """As a caller does who is told to come back: Redis may be down at this very moment."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = post_file(self.web.client, body, NDJSON, **key)
            if answer.status_code != 503 or time.monotonic() > deadline:
                return job_of(answer)
            time.sleep(float(answer.headers["Retry-After"]))

    def kill(self, what: str) -> None:
        {
            "child": self.kill_child,
            "worker": self.kill_worker,
            "redis": self.kill_redis,
            "web": self.kill_web,
            "web during an upload": self.kill_web_during_an_upload,
        }[what]()
        self.kills[what] += 1

    def kill_all(self, plan: list[str], job_id: str, last_at: int) -> None:
        """In any order, each at a random part of the job."""
        plan = self._chance.sample(plan, len(plan))
        for what, at in zip(plan, sorted(self._chance.sample(range(last_at), len(plan))), strict=True):
            while (done := self.done(job_id)) <= at:
                time.sleep(0.01)
            assert done < ROWS, f"the job ended before the {what} could be killed"
            self.kill(what)
            done, again = self.done(job_id), self.begun_again(job_id)
            say(f"{done:7} rows done: {what} killed; so far {again} chunks were begun again")

    def note_redis_peak(self) -> None:
        """The server forgets its peak when it restarts."""
        peak = int(self.redis.info("memory")["used_memory_peak"])
        self.redis_peak_bytes = max(self.redis_peak_bytes, peak)

    def done(self, job_id: str) -> int:
        """Rows counted so far, whatever is down."""
        while True:
            try:
                return int(cast(bytes, self.redis.hget(JobKeys(job_id).record, "done")))
            except RedisError:
                time.sleep(0.05)

    def begun_again(self, job_id: str) -> int:
        try:
            held = cast(dict[bytes, bytes], self.redis.hgetall(JobKeys(job_id).attempts))
        except RedisError:  # it is being killed on the other side
            return 0
        return sum(int(attempts) - 1 for chunk, attempts in held.items() if chunk.isdigit())

    def logs(self) -> str:
        return "\n".join(process.log()[-4000:] for process in (*self.workers, self.web))

    def close(self) -> None:
        self._over.set()
        self._supervisor.join()
        for process in (*self.workers, self.web):
            process.stop()
        self.sides.shutdown()
        self.redis.close()


@pytest.fixture
def service() -> Iterator[Service]:
    say(f"seed {SEED}")
    with start_redis() as redis:
        service = Service(redis, random.Random(SEED))
        yield service
        service.close()


@pytest.mark.timeout(3600 if SOAK else 240)
def test_every_row_of_a_job_is_scored_once_whoever_is_killed(service: Service) -> None:
    fleet = fleet_table(ROWS, seed=SEED)
    started = time.monotonic()
    job_id = job_of(post_file(service.web.client, parquet_of(fleet), PARQUET))
    # Each at its own pace: a web process takes seconds to come back, and nobody waits for it.
    plans = (
        (["child"] * CHILD_KILLS + ["worker"] * WORKER_KILLS + ["redis"], LAST_KILL_AT),
        (WEB_KILLS, LAST_WEB_KILL_AT),
    )
    for side in [service.sides.submit(service.kill_all, plan, job_id, last_at) for plan, last_at in plans]:
        side.result()
    state = ended(service.web.client, job_id, timeout_s=DEADLINE_S)
    service.note_redis_peak()
    say(f"{time.monotonic() - started:6.1f} s: {state['status']}, kills: {dict(service.kills)}")
    say(f"Redis at its peak: {service.redis_peak_bytes / 1e6:.0f} MB for {ROWS} rows")
    assert (state["status"], state["done"], state["failed"]) == ("SUCCEEDED", ROWS, 0)
    other = ended(service.web.client, service.other_job_id)
    assert (other["status"], other["done"], other["failed"]) == ("SUCCEEDED", OTHER_ROWS, 0)
    listed = service.web.client.get("/api/v1/jobs").json()["items"]
    assert {job["job_id"] for job in listed} == {job_id, service.other_job_id}
    compared = compare(service.web.client, job_id, fleet)
    say(f"{compared} rows equal to offline scoring within {TOLERANCE:g}")
    assert compared == ROWS


def _is_ready(worker: Process) -> bool:
    return "ready" in worker.log()


def compare(client: httpx.Client, job_id: str, fleet: pa.Table) -> int:
    """Every row of the results with the same row scored here, in order; how many there are."""
    settings = settings_for("redis://127.0.0.1:1")
    scorer = Scorer.load(settings.model_dir, settings.costs)
    rows = (row for page in pages(client, job_id) for row in page)
    number = 0
    for start in range(0, fleet.num_rows, SCORED_AT_ONCE):
        readings = readings_of(fleet.slice(start, SCORED_AT_ONCE))
        for expected in scorer.score("failure", readings):
            row = next(rows)
            assert row["row"] == number
            difference = unlike({name: row[name] for name in row if name not in ADDED}, plain(expected))
            assert difference is None, f"row {number}: {difference}"
            number += 1
    assert next(rows, None) is None, "there are more rows than readings"
    return number


def readings_of(part: pa.Table) -> list[Reading]:
    readings = tables.from_table(part, now=datetime.now(UTC))
    assert all(isinstance(reading, Reading) for reading in readings)
    return [reading for reading in readings if isinstance(reading, Reading)]


def plain(verdict: Any) -> Any:
    return orjson.loads(orjson.dumps(verdict))
