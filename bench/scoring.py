"""`python -m bench.scoring`: cost of scoring alone, without queue, web or Redis.

Prints µs of CPU per reading by history, batch size and kind, JSON encoding included. For the failure model it
also prints each step. The steps add up to less than the whole, whose caches are colder.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: one process is one core, as in a worker

import argparse
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

import orjson

from models.costs import CostPolicy
from models.features.columns import Histories, HistoryEntries, from_readings
from models.features.frame import MAX_ENTRIES, compute
from models.registry import active_version, load
from models.scorer import Scorer, failure_model
from readings.reading import KINDS, Kind, Reading
from settings import Costs

VERSIONS: Final = Path(__file__).resolve().parents[1] / "models" / "versions"
COSTS: Final = Costs("USD", 450.0, 120.0, 900.0, 4.8, 1.5, 2.0, 240.0)
NOON: Final = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
CHARGERS: Final = 512  # larger batches repeat chargers
SIZES: Final = (1, 8, 32, 256, 4096)
RUNS: Final = 7
MIN_READINGS: Final = 256  # timed together, so that the clock's resolution does not matter
CODES: Final = ("HighTemperature", "ReaderFailure", "WeakSignal", "E-1101")
STEPS: Final = ("columns", "features", "onnx", "reasons", "verdicts", "encode")

Item = TypeVar("Item")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.scoring")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="readings in a batch")
    sizes = [int(size) for size in parser.parse_args().sizes.split(",")]
    scorer = Scorer.load(VERSIONS, COSTS)
    readings, pasts = fleet(random.Random(1))
    print(f"µs of CPU a reading, the best of {RUNS} runs")
    print(f"{'history':>12}{'batch':>7}" + "".join(f"{head:>12}" for head in (*KINDS, *STEPS)))
    for size in sizes:
        batch = _repeated(readings, size)
        entries = [HistoryEntries.of(past) for past in pasts]
        histories: dict[str, Histories | None] = {
            "none": None,
            f"{MAX_ENTRIES} readings": _repeated(pasts, size),
            f"{MAX_ENTRIES} entries": _repeated(entries, size),
        }
        for label, past in histories.items():
            costs = [*whole(scorer, batch, past), *steps(batch, past)]
            print(f"{label:>12}{size:>7}" + "".join(f"{us:>12.1f}" for us in costs), flush=True)


def whole(scorer: Scorer, batch: list[Reading], histories: Histories | None) -> list[float]:
    """Return the CPU µs per reading for each kind, from a reading to its JSON."""
    result = []
    for kind in KINDS:

        def score(kind: Kind = kind) -> None:
            for verdict in scorer.score(kind, batch, histories):
                orjson.dumps(verdict)

        result.append(cpu_us(score, len(batch)))
    return result


def steps(batch: list[Reading], histories: Histories | None) -> list[float]:
    """Return the CPU µs per reading of each step of the failure model, in the order of `STEPS`."""
    model = failure_model(load(VERSIONS, "failure", active_version(VERSIONS, "failure")))
    columns, rows = from_readings(batch, histories, model.spec.code_columns)
    frame = compute(columns, model.spec, rows)
    outcomes = model.outcomes(frame)
    policy = CostPolicy(COSTS, model.base_30d)
    verdicts = model.verdicts(batch, frame, outcomes, policy)
    n = len(batch)
    onnx = cpu_us(lambda: model.session.run(frame), n)
    return [
        cpu_us(lambda: from_readings(batch, histories, model.spec.code_columns), n),
        cpu_us(lambda: compute(columns, model.spec, rows), n),
        onnx,
        cpu_us(lambda: model.outcomes(frame), n) - onnx,
        cpu_us(lambda: model.verdicts(batch, frame, outcomes, policy), n),
        cpu_us(lambda: [orjson.dumps(verdict) for verdict in verdicts], n),
    ]


def cpu_us(call: Callable[[], object], n_readings: int) -> float:
    """Return the CPU time of `call` per reading, in µs."""
    repeats = max(1, MIN_READINGS // n_readings)
    call()
    best = float("inf")
    for _ in range(RUNS):
        start = time.process_time()
        for _ in range(repeats):
            call()
        best = min(best, time.process_time() - start)
    return best / repeats / n_readings * 1e6


def fleet(rng: random.Random) -> tuple[list[Reading], list[list[Reading]]]:
    """Return one reading of each charger and its history, twice a day for 30 days."""
    pasts = []
    for number in range(CHARGERS):
        power_kw, usual_c, sessions = rng.choice((7.2, 22.0, 50.0)), rng.uniform(5, 40), rng.randrange(5000)
        past = []
        for entry in range(MAX_ENTRIES + 1):
            charging = rng.random() < 0.3
            past.append(
                Reading(
                    charger_id=f"EVZ-{number:04d}",
                    connector_status=rng.choice(("OFFLINE", "FAULTY", "OCCUPIED"))
                    if rng.random() < 0.1
                    else ("CHARGING" if charging else "AVAILABLE"),
                    timestamp=NOON + timedelta(hours=12 * (entry - MAX_ENTRIES)),
                    energy_delivered=round(rng.expovariate(1 / 15), 2),
                    power=power_kw if charging else 0.0,
                    temperature=round(usual_c + rng.gauss(0, 3) + 15 * charging, 1),
                    error_codes=(rng.choice(CODES),) if rng.random() < 0.05 else (),
                    uptime_hours=12.0 * entry,
                    total_sessions=sessions + 2 * entry,
                    last_maintenance=NOON - timedelta(days=100),
                )
            )
        pasts.append(past)
    return [past.pop() for past in pasts], pasts


def _repeated(items: Sequence[Item], size: int) -> list[Item]:
    return [items[index % len(items)] for index in range(size)]


if __name__ == "__main__":
    main()
