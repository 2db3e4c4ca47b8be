"""Fairness between tenants: the answers to tenant B while tenant A asks for far more than there is.

`python -m bench --only fairness` runs only this. The results are in `build/bench/fairness.json`.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx

from bench.batch import TIMEOUT_S, file_of, score_file
from bench.contestants import FOLDER, KEY, URL, ours
from bench.flood import CONNECTIONS
from bench.measure import running
from bench.steady import Sample, summary
from settings import ROOT

A, B = "tenant-a", "tenant-b"
SINGLES: Final = f"{URL}/api/v1/predictions/failure"
RATE: Final = 100.0
TIMES_CAPACITY: Final = 4
# More than the service can answer: the rate of its answers is its capacity.
UNBOUNDED_RATE: Final = 100_000.0
CAPACITY_S: Final = 8.0
SINGLES_S: Final = 20.0
SETTLE_S: Final = 3.0
ROWS, LARGE_ROWS = 1_000, 1_000_000
WARM_UP_ROWS: Final = 20_000
JOBS: Final = 15

Found = dict[str, Any]


def measure(say: Callable[[str], None]) -> Found:
    """Run all measurements of fairness. Blocks for about three minutes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with running(ours(), f"{URL}/health/ready", FOLDER / "fairness.log"):
        found: Found = {"singles": _singles(say), "jobs": _jobs(say)}
    found["load"] = os.getloadavg()[2]
    return found


def _singles(say: Callable[[str], None]) -> Found:
    """Measure B's single predictions at a fixed rate, alone and beside A."""
    with _flood(UNBOUNDED_RATE):  # warm up
        time.sleep(SETTLE_S)
    with _flood(UNBOUNDED_RATE) as counts:
        time.sleep(CAPACITY_S)
    capacity = counts["statuses"].get("200", 0) / counts["seconds"]
    time.sleep(SETTLE_S)
    command = [sys.executable, "-m", "bench.steady", SINGLES, KEY, "--rate", str(RATE), "--tenant", B]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as steady:
        time.sleep(SETTLE_S)
        alone_from = time.time()
        time.sleep(SINGLES_S)
        alone_until = time.time()
        with _flood(TIMES_CAPACITY * capacity) as counts:
            time.sleep(SETTLE_S)
            beside_from = time.time()
            time.sleep(SINGLES_S)
            beside_until = time.time()
        steady.send_signal(signal.SIGTERM)
        samples: Sequence[Sample] = json.loads(steady.communicate()[0])
    found: Found = {
        "rate": RATE,
        "capacity": capacity,
        "connections": CONNECTIONS,
        "a": counts,
        "alone": summary(samples, alone_from, alone_until),
        "beside": summary(samples, beside_from, beside_until),
    }
    for name in ("alone", "beside"):
        each = found[name]
        say(
            f"B's singles at {RATE:g}/s, {name}: p50 {each['p50_ms']:.1f} ms, p99 {each['p99_ms']:.1f} ms, "
            f"errors {each['errors'] or 0} of {each['requests']}"
        )
    say(f"capacity {capacity:.0f}/s; A: {counts}")
    return found


@contextmanager
def _flood(rate: float) -> Iterator[Found]:
    """A's single predictions within the context. Its counts are there afterwards."""
    counts: Found = {}
    command = [sys.executable, "-m", "bench.flood", SINGLES, KEY, A, str(rate)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            yield counts
        finally:
            process.send_signal(signal.SIGTERM)
            counts.update(json.loads(process.communicate()[0]))


def _jobs(say: Callable[[str], None]) -> Found:
    """Measure B's jobs, alone and while A's large one is scored."""
    with _client(A) as a, _client(B) as b:
        for _ in range(2):  # the first job determines the chunk size of the second
            _timed(b, WARM_UP_ROWS)
        alone = [_timed(b, ROWS) for _ in range(JOBS)]
        large = threading.Thread(target=score_file, args=(a, file_of(LARGE_ROWS), FOLDER / "a.parquet"))
        large.start()
        beside: list[float] = []
        while len(beside) < JOBS and large.is_alive():
            if _is_scored(a):
                beside.append(_timed(b, ROWS))
            else:
                time.sleep(0.1)
        while_scored = _is_scored(a)
        large.join()
    if len(beside) < JOBS or not while_scored:
        raise RuntimeError(f"A's job ended after {len(beside)} of B's: it is too small for this machine.")
    found: Found = {"rows": ROWS, "large_rows": LARGE_ROWS}
    for name, seconds in (("alone", alone), ("beside", beside)):
        found[f"{name}_s"] = statistics.median(seconds)
        found[f"{name}_most_s"] = max(seconds)
        say(
            f"B's job of {ROWS:,} rows, {name}: median {found[f'{name}_s'] * 1000:.0f} ms, "
            f"longest {found[f'{name}_most_s'] * 1000:.0f} ms"
        )
    return found


@contextmanager
def _client(tenant: str) -> Iterator[httpx.Client]:
    headers = {"X-API-Key": KEY, "X-Tenant-ID": tenant}
    with httpx.Client(base_url=URL, headers=headers, timeout=TIMEOUT_S) as client:
        yield client


def _timed(client: httpx.Client, rows: int) -> float:
    _, phases = score_file(client, file_of(rows), FOLDER / "b.parquet")
    return phases.seconds


def _is_scored(client: httpx.Client) -> bool:
    """Whether a job of this client's tenant is running, and has results."""
    jobs = client.get("/api/v1/jobs?status=RUNNING&limit=1").raise_for_status().json()
    return any(job["done"] for job in jobs["items"])
