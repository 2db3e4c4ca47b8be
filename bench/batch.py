"""Batch jobs: rows per second relative to the lower bound of their cost, memory, and effect on single
requests.

`python -m bench --only batch` runs only this. The results are in `build/bench/batch.json`.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from redis import Redis

from bench.contestants import FOLDER, KEY, PORT, REDIS_PORT, URL, fastapi, ours
from bench.fleet_file import fleet_table
from bench.measure import BATCH_WORKER, Running, peaks_mb, purpose, running
from bench.steady import Sample, summary
from settings import ROOT
from tasks.jobs.job_keys import JobKeys

PARQUET: Final = "application/vnd.apache.parquet"
BATCH: Final = "/api/v1/predictions/batch"
# Rows, and number of repetitions. The median is reported.
SIZES: Final = {100: 15, 1_000: 9, 10_000: 5, 100_000: 3, 1_000_000: 1}
JSON_SIZES: Final = {100: 15, 1_000: 9, 10_000: 5, 100_000: 3}
RIVAL_PORT: Final = PORT + 3
RIVAL_URL: Final = f"http://127.0.0.1:{RIVAL_PORT}"
RATE: Final = 100.0
IDLE_S: Final = 30.0
SETTLE_S: Final = 3.0
WARM_UP_ROWS: Final = 20_000
TIMEOUT_S: Final = 900.0
POLL_S: Final = 0.01

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Phases:
    """Times of one job in epoch seconds: first byte sent, accepted, ended, last result byte read."""

    posted: float
    accepted: float
    ended: float
    read: float

    @property
    def seconds(self) -> float:
        """Duration of the whole job."""
        return self.read - self.posted


def measure(say: Callable[[str], None]) -> Found:
    """Run all batch measurements. Blocks for about ten minutes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    found: Found = {}
    rival = [replace(program, environment={"PORT": str(RIVAL_PORT)}) for program in fastapi()]
    with running(ours(), f"{URL}/health/ready", FOLDER / "batch.log") as processes, _client() as client:
        for _ in range(2):  # the first job determines the chunk size of the second
            _job(client, file_of(WARM_UP_ROWS))
        found["files"] = [_rows(client, processes, size, times, say) for size, times in SIZES.items()]
        with running(rival, f"{RIVAL_URL}/batch", FOLDER / "batch-fastapi.log") as rivals:
            for pid in rivals.pids():
                os.setpriority(os.PRIO_PROCESS, pid, _niceness(processes))
            found["json"] = [_json(client, size, times, say) for size, times in JSON_SIZES.items()]
        found["peaks_after_json_mb"] = peaks_mb(processes.pids())
        found["singles"] = _singles(client, say)
    return found


@contextmanager
def _client() -> Iterator[httpx.Client]:
    with httpx.Client(base_url=URL, headers={"X-API-Key": KEY}, timeout=TIMEOUT_S) as client:
        yield client


def file_of(rows: int) -> Path:
    """Return a Parquet file of random readings. Makes it on first use."""
    path = FOLDER / f"fleet-{rows}.parquet"
    if not path.exists():
        pq.write_table(fleet_table(rows), path)
    return path


def _rows(
    client: httpx.Client, processes: Running, rows: int, times: int, say: Callable[[str], None]
) -> Found:
    """Measure Parquet in and Parquet out: the service and the limit in turn."""
    source = file_of(rows)
    seconds, cpu_s, worker_cpu_s = [], [], []
    workers = _workers(processes)
    limits: dict[str, list[Found]] = {"full": [], "probability": []}
    for _ in range(times):
        before_s, workers_before_s = processes.cpu_s(), processes.cpu_s(workers)
        seconds.append(_job(client, source).seconds)
        cpu_s.append(processes.cpu_s() - before_s)
        worker_cpu_s.append(processes.cpu_s(workers) - workers_before_s)
        for answer, some in limits.items():
            some.append(_limit(source, answer, _niceness(processes)))
    found: Found = {"rows": rows, "rows_per_s": rows / statistics.median(seconds)}
    found["cpu_us_a_row"] = statistics.median(cpu_s) / rows * 1e6
    found["worker_cpu_us_a_row"] = statistics.median(worker_cpu_s) / rows * 1e6
    for answer, some in limits.items():
        found[f"{answer}_limit_rows_per_s"] = rows / statistics.median(each["seconds"] for each in some)
        found[f"{answer}_limit_cpu_us_a_row"] = statistics.median(each["cpu_s"] for each in some) / rows * 1e6
        found[f"{answer}_limit_peak_mb"] = max(each["peak_mb"] for each in some)
    found["ratio"] = found["rows_per_s"] / found["full_limit_rows_per_s"]
    found["peaks_mb"] = peaks_mb(processes.pids())
    with Redis(port=REDIS_PORT) as redis:
        found["redis_peak_mb"] = redis.info("memory")["used_memory_peak"] / 1e6
    say(
        f"{rows:9,} rows: {found['rows_per_s']:8.0f}/s, {found['ratio']:.2f} of the limit "
        f"({found['full_limit_rows_per_s']:.0f}/s), {found['cpu_us_a_row']:.0f} µs of CPU a row, "
        f"{found['worker_cpu_us_a_row']:.0f} of it the worker's (the limit: "
        f"{found['full_limit_cpu_us_a_row']:.0f})"
    )
    return found


def _job(client: httpx.Client, source: Path) -> Phases:
    job_id, phases = score_file(client, source, FOLDER / "batch-results.parquet")
    with Redis(port=REDIS_PORT) as redis:  # otherwise kept for a day, and counted as memory of the next job
        redis.unlink(*JobKeys(job_id).all)
    return phases


def score_file(client: httpx.Client, source: Path, target: Path) -> tuple[str, Phases]:
    """Run one job from a Parquet file to the last byte of its results in `target`. Blocks until then.

    Returns the job's id and its times. Raises `RuntimeError` unless every row has a result.
    """
    posted = time.time()
    with source.open("rb") as file:
        answer = client.post(BATCH, content=file, headers={"Content-Type": PARQUET})
    job_id: str = answer.raise_for_status().json()["job_id"]
    accepted = time.time()
    while (state := _state(client, job_id))["status"] in ("PENDING", "RUNNING"):
        time.sleep(POLL_S)
    ended = time.time()
    with (
        client.stream("GET", f"/api/v1/jobs/{job_id}/results", headers={"Accept": PARQUET}) as results,
        target.open("wb") as file,
    ):
        for piece in results.iter_raw():
            file.write(piece)
    phases = Phases(posted, accepted, ended, time.time())
    if state["failed"] or pq.read_metadata(target).num_rows != state["total"]:
        raise RuntimeError(f"not every row has its result: {state}")
    return job_id, phases


def _state(client: httpx.Client, job_id: str) -> Found:
    found: Found = client.get(f"/api/v1/jobs/{job_id}").raise_for_status().json()
    return found


def _workers(processes: Running) -> list[int]:
    return [pid for pid in processes.pids() if purpose(pid) == BATCH_WORKER]


def _niceness(processes: Running) -> int:
    """Niceness of the batch worker. Its rivals get the same, so that other load affects all equally."""
    return max(os.getpriority(os.PRIO_PROCESS, pid) for pid in _workers(processes))


def _limit(source: Path, answer: str, niceness: int) -> Found:
    command = [sys.executable, "-m", "bench.batch_limit", str(source), str(FOLDER / "limit.parquet")]
    done = subprocess.run(
        [*command, "--answer", answer, "--nice", str(niceness)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found: Found = json.loads(done.stdout)
    return found


def _json(client: httpx.Client, rows: int, times: int, say: Callable[[str], None]) -> Found:
    """Measure the same JSON list in and all answers in the response: the service and FastAPI in turn."""
    body = orjson.dumps({"chargers": _json_rows(fleet_table(rows))})
    urls = {"ours": f"{URL}{BATCH}?store=false", "fastapi": f"{RIVAL_URL}/batch"}
    seconds: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(times + 1):
        for name, url in urls.items():
            seconds[name].append(_asked(client, url, body, rows))
    found: Found = {"rows": rows}
    for name, taken in seconds.items():
        found[f"{name}_rows_per_s"] = rows / statistics.median(taken[1:])  # the first run warms up
    found["ratio"] = found["ours_rows_per_s"] / found["fastapi_rows_per_s"]
    say(
        f"{rows:9,} rows of JSON: {found['ours_rows_per_s']:8.0f}/s, {found['ratio']:.2f} of FastAPI's "
        f"({found['fastapi_rows_per_s']:.0f}/s)"
    )
    return found


def _asked(client: httpx.Client, url: str, body: bytes, rows: int) -> float:
    """Return the seconds until the last byte of the response."""
    headers = {"Content-Type": "application/json", "Prefer": "wait=30"}
    started = time.perf_counter()
    answer = client.post(url, content=body, headers=headers)
    seconds = time.perf_counter() - started
    predictions = orjson.loads(answer.content)["predictions"] if answer.status_code == 200 else []
    if len(predictions) != rows or not all("top_contributing_factors" in row for row in predictions):
        raise RuntimeError(f"{url} answers something else: {answer.status_code} {answer.text[:300]}")
    return seconds


def _json_rows(table: pa.Table) -> list[Found]:
    return [
        {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
        for row in table.to_pylist()
    ]


def _singles(client: httpx.Client, say: Callable[[str], None]) -> Found:
    """Measure single predictions at a fixed rate, before a large job and during each part of it."""
    command = [sys.executable, "-m", "bench.steady", f"{URL}/api/v1/predictions/failure", KEY]
    with subprocess.Popen([*command, "--rate", str(RATE)], cwd=ROOT, stdout=subprocess.PIPE) as generator:
        time.sleep(SETTLE_S)
        idle_from = time.time()
        time.sleep(IDLE_S)
        phases = _job(client, file_of(max(SIZES)))
        generator.send_signal(signal.SIGTERM)
        samples: Sequence[Sample] = json.loads(generator.communicate()[0])
    found: Found = {
        "rate": RATE,
        "idle": summary(samples, idle_from, phases.posted),
        "upload": summary(samples, phases.posted, phases.accepted),
        "scoring": summary(samples, phases.accepted, phases.ended),
        "download": summary(samples, phases.ended, phases.read),
    }
    for name in ("idle", "upload", "scoring", "download"):
        each = found[name]
        say(
            f"singles at {RATE:g}/s, {name}: p50 {each['p50_ms']:.1f} ms, p99 {each['p99_ms']:.1f} ms, "
            f"errors {each['errors'] or 0} of {each['requests']}"
        )
    return found
