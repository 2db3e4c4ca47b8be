"""Overload: single predictions beyond the service's capacity, and at many connections.

`python -m bench --only overload` runs only this. The results are in `build/bench/overload.json`.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from bench.contestants import FOLDER, KEY, URL, ours
from bench.load import Load, apply
from bench.measure import Program, Running, running
from bench.steady import Sample
from settings import ROOT

SINGLES: Final = f"{URL}/api/v1/predictions/failure"
# Those that the slowed scorer takes. The work around it makes the capacity a little smaller.
READINGS_A_SECOND: Final = 500.0
TIMES: Final = (1, 2, 4, 8)
# The capacity is what so many connections get that always ask.
ASKING: Final = 128
CAPACITY_S: Final = 10.0
OVERLOAD_S: Final = float(os.environ.get("OVERLOAD_S", "60"))
# Afterwards, a load that the service can answer shows when it has recovered.
AFTER_S: Final = 10.0
AFTER_SHARE: Final = 0.8
# Counted from here: the queue has filled, and the estimate of the capacity has settled.
SETTLE_S: Final = 5.0
# Redis keeps the verdicts of each charger, and each request here has a charger of its own.
REDIS: Final = "Redis"
# Requests a second of one load generator. One process sends no more on time.
MOST_OF_ONE: Final = 2_000.0
CONNECTIONS: Final = (256, 1_000, 2_000)
ROUNDS: Final = 3
ROUND_S: Final = 8.0
WARM_UP_S: Final = 3.0
OK, REFUSED = 200, 503

Found = dict[str, Any]


def measure(say: Callable[[str], None]) -> Found:
    """Run all measurements. Blocks for about seven minutes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return _slow(say) | {"connections": _connections(say), "load": os.getloadavg()[2]}


def _slow(say: Callable[[str], None]) -> Found:
    """Offer multiples of the capacity of a worker that scores 500 readings a second."""
    programs = [_slowed(one) if "ml.single" in one.command else one for one in ours()]
    if not any("bench.slow_worker" in one.command for one in programs):
        raise RuntimeError("The worker of single predictions has another command line.")
    rows = []
    with running(programs, f"{URL}/health/ready", FOLDER / "overload.log") as service:
        apply(_load(), ASKING, WARM_UP_S)
        capacity = apply(_load(), ASKING, CAPACITY_S).per_second
        say(f"capacity {capacity:.0f}/s")
        for times in TIMES:
            rows.append(_overloaded(service, capacity, times))
            say(_shown(rows[-1]))
    return {"capacity": capacity, "slow": rows}


def _slowed(worker: Program) -> Program:
    command = ["bench.slow_worker" if part == "tasks.worker.app" else part for part in worker.command]
    slowness = {"READINGS_A_SECOND": str(READINGS_A_SECOND)}
    return replace(worker, command=command, environment={**worker.environment, **slowness})


def _overloaded(service: Running, capacity: float, times: int) -> Found:
    """Offer `times` the capacity, and then less than it."""
    before_mb = service.memory_mb(without=REDIS)
    offered = times * capacity
    began = time.time()
    samples = _offered(offered, OVERLOAD_S)
    over = began + OVERLOAD_S
    after_mb = service.memory_mb(without=REDIS)
    after = _offered(AFTER_SHARE * capacity, AFTER_S)
    counted = [sample for sample in samples if began + SETTLE_S <= sample[0] < over]
    seconds = OVERLOAD_S - SETTLE_S
    good = [latency_ms for _, latency_ms, status in counted if status == OK]
    refused = [latency_ms for _, latency_ms, status in counted if status == REFUSED]
    unwell = [due - over for due, _, status in after if status != OK]
    return {
        "times": times,
        "offered": offered,
        "sent": len(counted) / seconds,
        "good": len(good) / seconds,
        "good_p50_ms": _percentile(good, 50),
        "good_p99_ms": _percentile(good, 99),
        "refused": len(refused) / seconds,
        "refused_p95_ms": _percentile(refused, 95),
        "others": dict(Counter(str(status) for _, _, status in counted if status not in (OK, REFUSED))),
        "memory_mb": [before_mb, after_mb],
        "recovery_s": max(unwell, default=0.0),
    }


def _offered(rate: float, seconds: float) -> list[Sample]:
    """Send `rate` requests a second for so many seconds (an open loop). Blocks until all are answered."""
    generators = max(1, round(rate / MOST_OF_ONE))
    command = [sys.executable, "-m", "bench.steady", SINGLES, KEY, "--rate", str(rate / generators)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(generators)]
    time.sleep(seconds)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    samples: list[Sample] = []
    for process in processes:
        samples += json.loads(process.communicate()[0])
    return samples


def _percentile(latencies: Sequence[float], percent: int) -> float:
    return statistics.quantiles(latencies, n=100)[percent - 1] if len(latencies) > 1 else 0.0


def _shown(row: Found) -> str:
    before_mb, after_mb = row["memory_mb"]
    return (
        f"{row['times']} x: sent {row['sent']:.0f}/s, good {row['good']:.0f}/s "
        f"(p50 {row['good_p50_ms']:.0f} ms, p99 {row['good_p99_ms']:.0f} ms), "
        f"refused {row['refused']:.0f}/s (p95 {row['refused_p95_ms']:.1f} ms), others {row['others']}, "
        f"memory {before_mb:.0f} -> {after_mb:.0f} MB, recovery {row['recovery_s']:.1f} s"
    )


def _load() -> Load:
    """Readings that were not sent before."""
    return Load(SINGLES, KEY, "unique", uuid.uuid4().hex[:8])


def _connections(say: Callable[[str], None]) -> list[Found]:
    """Keep many connections busy at full speed. Good answers a second are medians of rounds in turn."""
    good: dict[int, list[float]] = {number: [] for number in CONNECTIONS}
    p99_ms: dict[int, list[float]] = {number: [] for number in CONNECTIONS}
    refused: dict[int, int] = dict.fromkeys(CONNECTIONS, 0)
    with running(ours(), f"{URL}/health/ready", FOLDER / "overload.log"):
        for turn in range(ROUNDS + 1):
            for number in CONNECTIONS:
                outcome = apply(_load(), number, ROUND_S if turn else WARM_UP_S)
                if turn:
                    good[number].append((outcome.requests - outcome.errors) / outcome.seconds)
                    p99_ms[number].append(outcome.p99_ms)
                    refused[number] += outcome.errors
                    say(f"{number} connections: {good[number][-1]:.0f} good/s, {outcome.errors} others")
    return [
        {
            "connections": number,
            "good": statistics.median(good[number]),
            "p99_ms": statistics.median(p99_ms[number]),
            "others": refused[number],
        }
        for number in CONNECTIONS
    ]
