"""`python -m bench.fleet_query`: time of queries of a fleet of 100,000 chargers in one web process.

Starts an embedded Redis and writes the fleet by the store's own commands. Measures the views in this process,
without an HTTP server: routing, key, query, fetch of the page, JSON. Prints a table for docs/scaling.md: the
median and the 95th percentile of each query, warm, while nothing changes and while verdicts keep coming. Also
prints the cost of loading and refreshing the fleet, and how long other threads wait for the interpreter lock
meanwhile.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy, as in a web process

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from unittest import mock
from urllib.parse import quote

import orjson
from flask import Flask

from bench.scoring import COSTS, VERSIONS
from models.features.columns import HistoryEntries
from models.scorer import Scorer
from models.scoring_batch import Batch
from readings.reading import STATUSES, Reading, rfc3339
from settings import Settings, read_settings
from stack.servers import LOOPBACK, redis_answers, redis_command
from tasks.storage.charger_attributes import AttributeStore, Statement
from tasks.storage.fleet import FleetStore
from tasks.storage.fleet_query import SORTS
from tasks.storage.fleet_rows import ACTIONS
from tasks.storage.fleet_sites import SITE_SORTS
from tasks.storage.redis_connection import PinnedConnection, connect
from web.app import create_app
from web.http.services import EXTENSION, Services

KEY: Final = "key-of-the-benchmark"
SITE_OF: Final = 12  # chargers
VENDORS, MODELS, FIRMWARES = 9, 40, 120
STORED_AT_ONCE: Final = 2_048
DEEP: Final = (0.0, 0.25, 0.5, 0.9, 0.998)
CHANGED: Final = 2_000


def main() -> None:
    """Run the measurements of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet_query")
    parser.add_argument("--chargers", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=40, help="of each query")
    parser.add_argument("--port", type=int, default=26_390, help="of the embedded Redis")
    given = parser.parse_args()
    with _redis(given.port) as url, mock.patch.dict(os.environ, _environment(url), clear=True):
        settings = read_settings(dotenv=None)
        fleet = Fleet(settings, given.chargers)
        fleet.write(range(given.chargers))
        app = create_app(settings)
        try:
            _measure(app, fleet, given.repeat)
        finally:
            app.extensions[EXTENSION].close()


def _measure(app: Flask, fleet: Fleet, repeat: int) -> None:
    services: Services = app.extensions[EXTENSION]
    before_mb = _memory_mb()
    first_s, _, wait_ms = _beside(lambda: _get(app, "/api/v1/chargers"))
    grown = (_memory_mb() - before_mb) * 1e6 / fleet.chargers
    _print(f"load of {fleet.chargers:,} chargers: {first_s:.2f} s, {grown:.0f} bytes each; {wait_ms}\n\n")
    queries = _queries(app, fleet)
    _print("| query | chargers | p50 ms | p95 ms | CPU ms | p95 ms while 2,000 change a second | CPU ms |\n")
    _print("|---|---|---|---|---|---|---|\n")
    still = {name: _times(app, url, repeat) for name, url in queries.items()}
    with fleet.changing():
        busy = {name: _times(app, url, repeat) for name, url in queries.items()}
    for name, url in queries.items():
        total = orjson.loads(_get(app, url)).get("total", 0)
        (walls, cpus), (busy_walls, busy_cpus) = still[name], busy[name]
        _print(
            f"| {name} | {total:,} | {statistics.median(walls):.1f} | {_p95(walls):.1f} | {_mean(cpus):.1f} "
            f"| {_p95(busy_walls):.1f} | {_mean(busy_cpus):.1f} |\n"
        )
    for what, times in (("nothing changes", still), ("2,000 chargers change a second", busy)):
        walls = [each for its_walls, _ in times.values() for each in its_walls]
        _print(f"\n{len(walls):,} queries while {what}: p95 {_p95(walls):.1f} ms, max {max(walls):.1f} ms")
    _print(f"\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n\n")

    def refresh() -> None:
        with services.fleets.of(None):
            pass

    costs = []
    for _ in range(5):
        fleet.write(random.Random(1).sample(range(fleet.chargers), CHANGED))
        time.sleep(1.1)
        taken_s, cpu_s, wait_ms = _beside(refresh)
        costs.append((taken_s * 1e3, cpu_s * 1e3, wait_ms))
    taken_ms, cpu_ms, wait_ms = sorted(costs)[len(costs) // 2]
    _print(f"refresh of {CHANGED:,} changed chargers: {taken_ms:.0f} ms, CPU {cpu_ms:.0f} ms; {wait_ms}\n")
    alone = _beside(lambda: time.sleep(1.0))[2]
    _print(f"for comparison, without work: {alone}\n")


def _queries(app: Flask, fleet: Fleet) -> dict[str, str]:
    """The path of each query, by its name in the table."""
    chargers = "/api/v1/chargers?limit=100"
    found = {f"sort={dash}{sort}": f"{chargers}&sort={dash}{sort}" for sort in SORTS for dash in ("", "-")}
    for share in DEEP:
        url = f"{chargers}&cursor={int(share * fleet.chargers)}"
        deep = orjson.loads(_get(app, url))["next"]
        if deep:
            found[f"page at {share:.1%}"] = f"{chargers}&cursor={deep}"
    found |= {
        "site": f"{chargers}&site=SITE-7",
        "vendor": f"{chargers}&vendor=Vendor%203",
        "two models, firmware": f"{chargers}&model=Model%203&model=Model%204&firmware=1.0.3",
        "status": f"{chargers}&status=FAULTY",
        "action, min_risk": f"{chargers}&action=IMMEDIATE&min_risk=0.5",
        "q, few": f"{chargers}&q=EVZ-00123",
        "q, all": f"{chargers}&q=evz",
        "q, none": f"{chargers}&q={quote('nowhere')}",
        "all filters": f"{chargers}&site=SITE-7&site=SITE-8&vendor=Vendor%203&vendor=Vendor%204"
        f"&status=CHARGING&status=FAULTY&action={ACTIONS[0]}&min_risk=0.01&q=evz",
        "limit=1000": "/api/v1/chargers?limit=1000",
    }
    found |= {f"sites, sort={sort}": f"/api/v1/sites?limit=100&sort={sort}" for sort in SITE_SORTS}
    found["one charger"] = "/api/v1/chargers/EVZ-000123"
    return found


class Fleet:
    """Chargers with verdicts, readings and attributes, which repeat as those of a real fleet do."""

    def __init__(self, settings: Settings, chargers: int) -> None:
        self.chargers = chargers
        redis = connect(settings.redis_url)
        self._connection = PinnedConnection(redis)
        self._store = FleetStore(settings, redis)
        self._attributes = AttributeStore(redis, lambda *_: None)
        self._random = random.Random(0)
        reading = Reading("EVZ-000000", "CHARGING", datetime.now(UTC), 18.4, 47.5, 41.0, ("HighTemperature",))
        scorer = Scorer.load(VERSIONS, COSTS)
        (self._verdict,) = scorer.verdicts("failure", Batch([reading], [HistoryEntries.of(())]))

    def write(self, numbers: Sequence[int]) -> None:
        """Store a new verdict and the attributes of each of these chargers."""
        now = datetime.now(UTC)
        for start in range(0, len(numbers), STORED_AT_ONCE):
            some = numbers[start : start + STORED_AT_ONCE]
            self._connection.execute(*self._store.to_store([self._stored(number, now) for number in some]))
            self._attributes.state([self._statement(number) for number in some])

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Store 2,000 new verdicts a second in a process of their own."""
        pid = os.fork()
        if not pid:
            while True:
                started = time.monotonic()
                self.write(self._random.sample(range(self.chargers), CHANGED))
                time.sleep(max(0.0, 1.0 - (time.monotonic() - started)))
        try:
            time.sleep(2.0)
            yield
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)

    def _stored(self, number: int, now: datetime) -> tuple[None, dict[str, Any], bytes, Reading]:
        at = now - timedelta(seconds=self._random.uniform(0, 86_400 * 2))
        risk = round(self._random.random() ** 4, 6)
        charger_id = f"EVZ-{number:06d}"
        verdict = {
            **self._verdict,
            "charger_id": charger_id,
            "reading_timestamp": rfc3339(at),
            "failure_probability": risk,
            "horizons": {"1d": risk / 10, "7d": risk / 3, "30d": risk},
            "recommended_action": self._random.choice(ACTIONS),
            "cost_of_waiting": round(self._random.uniform(-200, 400), 2),
        }
        reading = Reading(charger_id, self._random.choice(STATUSES), at, 18.4, 47.5, 41.0, ())
        return None, verdict, orjson.dumps(verdict), reading

    def _statement(self, number: int) -> Statement:
        model = number % MODELS
        values: Mapping[str, Any] = {
            "site_id": f"SITE-{number // SITE_OF}",
            "vendor": f"Vendor {model % VENDORS}",
            "model": f"Model {model}",
            "firmware": f"1.0.{number % FIRMWARES}",
            "connector_types": ["CCS2", "Type 2"],
            "rated_power_kw": 150.0,
            "installed_at": "2024-05-17",
            "name": f"Site {number // SITE_OF}, bay {number % SITE_OF}",
        }
        return Statement(None, f"EVZ-{number:06d}", values)


def _get(app: Flask, url: str) -> bytes:
    response = app.test_client().get(url, headers={"X-API-Key": KEY})
    if response.status_code != 200:
        raise SystemExit(f"{url}: {response.status_code} {response.text}")
    return response.get_data()


def _times(app: Flask, url: str, repeat: int) -> tuple[list[float], list[float]]:
    """The times and the CPU times of a query in ms. The first one is not counted."""
    _get(app, url)
    walls, cpus = [], []
    for _ in range(repeat):
        started, cpu_s = time.perf_counter(), time.thread_time()
        _get(app, url)
        cpus.append((time.thread_time() - cpu_s) * 1e3)
        walls.append((time.perf_counter() - started) * 1e3)
        time.sleep(0.01)  # so that refreshes are among them
    return walls, cpus


def _beside(work: Callable[[], object]) -> tuple[float, float, str]:
    """The seconds that `work` takes in a thread, its CPU, and how long this thread waits meanwhile."""
    taken: list[float] = []

    def run() -> None:
        started, cpu_s = time.perf_counter(), time.thread_time()
        work()
        taken.extend((time.perf_counter() - started, time.thread_time() - cpu_s))

    thread = threading.Thread(target=run)
    waits = []
    thread.start()
    while thread.is_alive():
        started = time.perf_counter()
        time.sleep(0.001)
        waits.append((time.perf_counter() - started - 0.001) * 1e3)
    thread.join()
    waits.sort()
    p95, longest = _p95(waits), waits[-1]
    return taken[0], taken[1], f"another thread wakes {p95:.1f} ms (p95), {longest:.1f} ms (max) late"


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@contextmanager
def _redis(port: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(redis_command(port, Path(folder)), stdout=subprocess.DEVNULL)
        try:
            while not redis_answers(port):
                time.sleep(0.05)
            yield f"redis://{LOOPBACK}:{port}/0"
        finally:
            process.kill()
            process.wait()


def _environment(redis_url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "test",
        "ML_SERVICE_API_KEY": KEY,
        "REDIS_URL": redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:1",
        "ADMIN_PORT": "0",
        "ML_DEGRADED_SCORING": "false",
    }


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
