"""`python -m bench.fleet_memory --chargers 100000 --days 30`: memory of the fleet store in Redis per charger.

Writes readings in the order of time through the commands of the store (`FleetStore.to_store`) to an empty
Valkey, and prints the difference of `used_memory`, by kind of key. Bodies and readings are real ones of the
committed model, and the probabilities drift. One charger in twenty flaps at the alert threshold.

`--readings` adds the recent readings that features need. `--http` sends the readings as batch files with
`store=true` to a whole service instead.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import httpx
import numpy as np
import orjson
from redis import Redis

from bench.contestants import FOLDER, KEY, REDIS_PORT, URL, ours
from bench.fleet_file import fleet_table
from bench.measure import running
from models.actions import action
from models.scorer import Scorer
from readings.parsing import parse_reading
from readings.reading import Reading, rfc3339
from settings import ROOT, Costs, read_settings
from stack.servers import redis_command
from tasks.storage.fleet import SLOT_S, FleetStore, Stored, changed_key, rows_key
from tasks.storage.reading_history import RecentHistory
from tasks.storage.redis_connection import PinnedConnection, connect

COSTS: Final = Costs("USD", 450.0, 120.0, 900.0, 4.8, 1.5, 2.0, 240.0)
TOGETHER: Final = 512
TEMPLATES: Final = 256
FLAPPING_SHARE: Final = 0.05
DRIFT: Final = 0.12  # of the log-odds, each reading
KINDS: Final = ("fleet:newest:", "fleet:past:", "readings:")
BATCH_TIMEOUT_S: Final = 600.0


def main() -> None:
    """Write the readings, and print sizes and encodings."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet_memory")
    parser.add_argument("--chargers", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--per-slot", type=int, default=4, help="readings of a charger in 12 hours")
    parser.add_argument("--readings", action="store_true", help="with the recent readings of each charger")
    parser.add_argument("--http", action="store_true", help="through batch files of a whole service")
    chosen = parser.parse_args()
    steps = chosen.days * 86_400 // SLOT_S * chosen.per_slot
    started = time.monotonic()
    with _service() if chosen.http else _server() as redis:
        empty = _used(redis)
        every_s = SLOT_S // chosen.per_slot
        if chosen.http:
            _by_http(redis, chosen.chargers, steps, every_s)
        else:
            _by_commands(redis, chosen.chargers, steps, every_s, with_readings=chosen.readings)
        taken_s = time.monotonic() - started
        print(f"{chosen.chargers:,} chargers x {steps} readings in {taken_s:.0f} s")
        report(redis, chosen.chargers, _used(redis) - empty)


def report(redis: Redis, chargers: int, used: int) -> None:
    """Print bytes per charger: the difference of `used_memory`, and by kind of key; and encodings."""
    print(f"used_memory: {used / chargers:,.0f} bytes a charger")
    for kind in KINDS:
        keys = list(redis.scan_iter(f"ml:{kind}*", count=1_000))
        sizes = [cast(int, redis.memory_usage(key, samples=0)) for key in keys[:5_000]]
        encodings = {redis.object("encoding", key) for key in keys[:5_000]}
        if sizes:
            print(
                f"{kind + '*':<16} {len(keys):>9,} keys, {sum(sizes) / len(sizes):8,.0f} bytes each, "
                f"{max(sizes):7,} at most, {encodings}"
            )
    for key in (rows_key(None), changed_key(None)):
        size = cast(int, redis.memory_usage(key, samples=0))
        print(f"{key:<16} {size / chargers:8,.0f} bytes a charger, {redis.object('encoding', key)}")


@contextmanager
def _server() -> Iterator[Redis]:
    """An empty Valkey without a file: the file would hold every write."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [*redis_command(port, Path(folder)), "--appendonly", "no"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        redis = connect(f"redis://127.0.0.1:{port}/0", timeout_s=30.0, patience_s=10.0)
        try:
            redis.ping()
            yield redis
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _service() -> Iterator[Redis]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with running(ours(), f"{URL}/health/ready", FOLDER / "fleet_memory.log"):
        yield connect(f"redis://127.0.0.1:{REDIS_PORT}/0", timeout_s=30.0)


def _used(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])


def _by_commands(redis: Redis, chargers: int, steps: int, every_s: int, *, with_readings: bool) -> None:
    os.environ.setdefault("ML_SERVICE_API_KEY", KEY)  # the settings insist on one
    settings = read_settings(dotenv=None)
    connection = PinnedConnection(redis)
    store, history = FleetStore(settings, redis), RecentHistory(connection)
    templates = _templates()
    since = int(time.time()) - steps * every_s
    for step, p30 in enumerate(_probabilities(chargers, steps)):
        at = datetime.fromtimestamp(since + step * every_s, UTC)
        for start in range(0, chargers, TOGETHER):
            some = [
                _stored(templates, number, at, float(p30[number]))
                for number in range(start, min(start + TOGETHER, chargers))
            ]
            commands = store.to_store(some)
            if with_readings:
                commands += history.to_store([(None, reading) for _, _, _, reading in some])
            connection.execute(*commands)


def _probabilities(chargers: int, steps: int) -> Iterator[Any]:
    """The 30-day probability of each charger at each step: a slow walk, or flapping at the threshold."""
    rng = np.random.default_rng(1)
    log_odds = rng.normal(-2.0, 1.2, chargers)
    is_flapping = rng.random(chargers) < FLAPPING_SHARE
    for _ in range(steps):
        log_odds = np.clip(0.995 * log_odds + rng.normal(0.0, DRIFT, chargers), -8.0, 8.0)
        flaps = rng.normal(0.85, 0.8, chargers)  # 0.7 is a log-odds of 0.85
        yield 1.0 / (1.0 + np.exp(-np.where(is_flapping, flaps, log_odds)))


Template = tuple[dict[str, Any], bytes, Reading]


def _templates() -> list[Template]:
    """Verdicts of the committed model, their JSON as callers get it, and their readings."""
    scorer = Scorer.load(ROOT / "models" / "versions", COSTS)
    now = datetime.now(UTC)
    readings = [parse_reading(row, now=now) for row in _rows(TEMPLATES)]
    found: list[Template] = []
    for reading, verdict in zip(readings, scorer.score("failure", readings, None), strict=True):
        common = {"tenant_id": None, "timestamp": rfc3339(now), "cached": False, "degraded": False}
        body = orjson.dumps({**verdict, **common, "fingerprint": reading.fingerprint()})
        found.append((verdict, body, reading))
    return found


def _rows(chargers: int) -> list[dict[str, Any]]:
    """Readings as JSON values, without missing ones."""
    return [
        {
            name: value.isoformat() if hasattr(value, "isoformat") else value
            for name, value in row.items()
            if value is not None
        }
        for row in fleet_table(chargers).to_pylist()
    ]


def _stored(templates: Sequence[Template], number: int, at: datetime, p30: float) -> Stored:
    fields, body, reading = templates[number % len(templates)]
    charger = f"EVZ-{number:07d}"
    horizons = {"1d": round(p30 * 0.12, 6), "7d": round(p30 * 0.45, 6), "30d": round(p30, 6)}
    verdict = fields | {
        "charger_id": charger,
        "reading_timestamp": rfc3339(at),
        "failure_probability": horizons["30d"],
        "horizons": horizons,
        "recommended_action": action(horizons, in_failure=fields["in_failure"], unsafe=False, pays=True),
    }
    return None, verdict, body, reading._replace(charger_id=charger, timestamp=at)


def _by_http(redis: Redis, chargers: int, steps: int, every_s: int) -> None:
    """One file for each step, so that verdicts arrive in the order of time."""
    rows = _rows(chargers)
    since = int(time.time()) - steps * every_s
    with httpx.Client(headers={"X-API-Key": KEY}, timeout=BATCH_TIMEOUT_S) as client:
        for step in range(steps):
            at = rfc3339(datetime.fromtimestamp(since + step * every_s, UTC))
            body = b"\n".join(orjson.dumps(row | {"timestamp": at}) for row in rows)
            headers = {"Content-Type": "application/x-ndjson", "Prefer": "wait=30"}
            url = f"{URL}/api/v1/predictions/batch?kind=failure&store=true"
            answer = client.post(url, content=body, headers=headers)
            if answer.status_code not in (200, 202):
                raise RuntimeError(f"{answer.status_code} {answer.text[:300]}")
            if answer.status_code == 202:
                _wait(client, answer.json()["job_id"])
    # Jobs and their results are not of the fleet.
    jobs = [key for key in redis.scan_iter("*", count=1_000) if b":fleet:" not in key]
    for start in range(0, len(jobs), 1_000):
        redis.unlink(*jobs[start : start + 1_000])
    time.sleep(2.0)  # memory is freed by a thread of the server


def _wait(client: httpx.Client, job_id: str) -> None:
    while client.get(f"{URL}/api/v1/jobs/{job_id}").json()["status"] not in ("SUCCEEDED", "FAILED"):
        time.sleep(0.05)


if __name__ == "__main__":
    main()
