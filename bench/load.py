"""Load on one address, and its result: wrk if installed, otherwise threads with httpx."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx

SCRIPT: Final = Path(__file__).with_name("wrk.lua")
Mode = Literal["unique", "repeated"]
Protocol = Literal["v1", "v2"]


@dataclass(frozen=True, slots=True)
class Load:
    """Target and kind of the requests. `word` makes the readings of one measurement unique.

    `tenant` is sent by `bench/steady.py` and `bench/flood.py` only.
    """

    url: str
    key: str
    mode: Mode
    word: str
    protocol: Protocol = "v1"
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Latencies in ms. `errors`: responses other than 2xx, and connections that failed or timed out."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def generator() -> str:
    """Return the load generator's name and version, for the report."""
    if shutil.which("wrk") is None:
        return f"httpx {httpx.__version__}, a thread for each connection (wrk is not installed)"
    # wrk has no version option. Its help, with exit code 1, starts with the version.
    return subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout.split("[")[0].strip()


def apply(load: Load, connections: int, seconds: float) -> Outcome:
    """Keep `connections` connections busy for `seconds`. Blocks for that time."""
    return (_wrk if shutil.which("wrk") else _httpx)(load, connections, seconds)


def one_answer(load: Load) -> str:
    """Return the body of one response."""
    answer = httpx.post(load.url, json=body_of(load, 0, 1), headers={"X-API-Key": load.key}, timeout=10)
    return answer.raise_for_status().text


def _wrk(load: Load, connections: int, seconds: float) -> Outcome:
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:g}s", "--timeout", "10s"]
    command += ["-s", str(SCRIPT), load.url, "--", load.key, load.mode, load.word, load.protocol]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    found = json.loads(line.removeprefix("RESULT "))
    errors = sum(found[name] for name in ("bad_status", "connect", "read", "write", "timeout"))
    return Outcome(found["requests"], found["seconds"], found["p50_ms"], found["p99_ms"], errors)


def _httpx(load: Load, connections: int, seconds: float) -> Outcome:
    """Slower than wrk: fast servers look alike. Only for a first impression."""
    latencies: list[float] = []
    errors = [0]
    end = time.monotonic() + seconds

    def send_requests(thread: int) -> None:
        count = 0
        with httpx.Client(headers={"X-API-Key": load.key}, timeout=10) as client:
            while (started := time.monotonic()) < end:
                count += 1
                try:
                    status = client.post(load.url, json=body_of(load, thread, count)).status_code
                    errors[0] += status >= 300
                except httpx.HTTPError:
                    errors[0] += 1
                latencies.append((time.monotonic() - started) * 1000)

    threads = [threading.Thread(target=send_requests, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
    return Outcome(len(latencies), seconds, cuts[49], cuts[98], errors[0])


def body_of(load: Load, thread: int, count: int) -> object:
    """Return the body of request number `count` of a thread."""
    number = count % 500 if load.mode == "repeated" else count
    charger = f"{load.word}-{thread}-{number}"
    reading = {
        "charger_id": charger,
        "connector_status": "CHARGING",
        "energy_delivered": 10 + number % 300 / 10,
        "power": 47.5,
        "temperature": 20 + number % 400 / 10,
        "error_codes": [],
        "uptime_hours": 412.0,
        "total_sessions": 1000 + number % 5000,
        "last_maintenance": "2026-05-02T09:00:00Z",
        "timestamp": "2026-11-20T08:30:00Z",
    }
    if load.protocol == "v1":
        return {"charger_id": charger, "metrics": reading}
    data = json.dumps({"charger_id": charger, "metrics": reading})
    part = {"name": "reading", "shape": [1, 1], "datatype": "BYTES", "data": [data]}
    return {"inputs": [part | {"parameters": {"content_type": "str"}}]}
