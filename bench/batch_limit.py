"""`python -m bench.batch_limit IN.parquet OUT.parquet`: lower bound of the cost of a batch.

One process with one thread, without queue, HTTP and Redis. It reads the file with pandas, computes readings
and features, runs the ONNX model and writes the same full answers in the same format. `--answer probability`
passes pandas' columns directly to the model and writes only the horizons.

Prints `{seconds, cpu_s, peak_mb}` as JSON for each repetition. Models are loaded and warm before the clock
starts.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: one process is one core, as in a worker

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.scoring import COSTS, VERSIONS
from models.features.columns import Columns, Floats, count_codes, to_millisecond
from models.features.error_codes import FAMILIES
from models.features.frame import compute
from models.registry import active_version, load
from models.scorer import Scorer, failure_model
from readings import arrow as tables
from readings.reading import STATUSES, Reading, rfc3339
from web.downloads.result_tables import SCHEMAS, table_of

# Slices are faster than the whole frame, which would keep a million verdicts as Python objects.
SLICE_ROWS: Final = 4096


def main() -> None:
    """Run the repetitions of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.batch_limit")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--answer", choices=["full", "probability"], default="full")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0, help="step back as far as the worker beside it does")
    given = parser.parse_args()
    os.nice(given.nice)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    run = (full if given.answer == "full" else probability)()
    run(pd.read_parquet(given.source).iloc[:SLICE_ROWS], given.target)
    for _ in range(given.repeat):
        started, before_s = time.perf_counter(), time.process_time()
        run(pd.read_parquet(given.source), given.target)
        taken = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - before_s}
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        sys.stdout.write(json.dumps(taken | {"peak_mb": peak_mb}) + "\n")


def full() -> Callable[[pd.DataFrame, Path], None]:
    """Return a function that writes the complete results of each row."""
    scorer = Scorer.load(VERSIONS, COSTS)

    def run(frame: pd.DataFrame, target: Path) -> None:
        now = datetime.now(UTC)
        stamp: dict[str, Any] = {"timestamp": rfc3339(now)}
        stamp |= {"tenant_id": None, "cached": False, "degraded": False}
        with pq.ParquetWriter(target, SCHEMAS["failure"], compression="zstd") as writer:
            for start in range(0, len(frame), SLICE_ROWS):
                part = pa.Table.from_pandas(frame.iloc[start : start + SLICE_ROWS], preserve_index=False)
                readings = [row for row in tables.from_table(part, now=now) if isinstance(row, Reading)]
                verdicts = scorer.score("failure", readings)
                lines = [
                    orjson.dumps({"row": number, **verdict, **stamp, "fingerprint": reading.fingerprint()})
                    for number, (reading, verdict) in enumerate(zip(readings, verdicts, strict=True), start)
                ]
                writer.write_table(table_of(lines, SCHEMAS["failure"]))

    return run


def probability() -> Callable[[pd.DataFrame, Path], None]:
    """Return a function that writes the three horizons of each row."""
    model = failure_model(load(VERSIONS, "failure", active_version(VERSIONS, "failure")))
    names = [f"{horizon.days:g}d" for horizon in model.horizons]

    def run(frame: pd.DataFrame, target: Path) -> None:
        writer: Any = None
        for start in range(0, len(frame), SLICE_ROWS):
            part = frame.iloc[start : start + SLICE_ROWS]
            columns = columns_of(part, model.spec.code_columns)
            curves = model.probabilities(compute(columns, model.spec, np.arange(len(part))))
            table = pa.table(
                {"charger_id": pa.array(part["charger_id"]), **dict(zip(names, curves.T, strict=True))}
            )
            if writer is None:
                writer = pq.ParquetWriter(target, table.schema, compression="zstd")
            writer.write_table(table)
        writer.close()

    return run


def columns_of(frame: pd.DataFrame, vocabulary: dict[str, int]) -> Columns:
    """Convert pandas' columns into the model's. The table must be free of errors."""
    codes = np.zeros((len(frame), len(FAMILIES) + len(vocabulary)))
    for row, given in enumerate(frame["error_codes"]):
        if len(given):
            codes[row] = count_codes([code for code in given if code != "NoError"], vocabulary)

    def numbers(name: str) -> Floats:
        return frame[name].to_numpy(np.float64)

    def seconds(name: str) -> Floats:
        moments = frame[name].dt.tz_localize(None)
        micros = moments.to_numpy("datetime64[us]").astype(np.float64)
        return to_millisecond(np.where(moments.isna(), np.nan, micros / 1e6))

    return Columns(
        charger=np.arange(len(frame), dtype=np.int64),
        time_s=seconds("timestamp"),
        status=pd.Categorical(frame["connector_status"], categories=list(STATUSES)).codes.astype(np.int64),
        energy_kwh=numbers("energy_delivered"),
        power_kw=numbers("power"),
        temperature_c=numbers("temperature"),
        uptime_h=numbers("uptime_hours"),
        sessions=numbers("total_sessions"),
        serviced_s=seconds("last_maintenance"),
        codes=codes,
    )


if __name__ == "__main__":
    main()
