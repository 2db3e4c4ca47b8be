"""The section of `docs/benchmarks.md` about batch jobs."""

from __future__ import annotations

from typing import Any, Final

from stack.programs import PROCESSES
from tasks.jobs.chunks import LARGE_ROWS
from tasks.messaging.names import Queues

HEADING: Final = "## Batch jobs"
MOST_MB: Final = 400

Found = dict[str, Any]


def section(found: Found) -> list[str]:
    """Return the lines of the section, heading first."""
    files, singles = found["files"], found["singles"]
    largest = files[-1]
    return [
        HEADING,
        "",
        '`make bench` measures them too; `make bench BENCH="--only batch"` measures nothing else.',
        "",
        "| | aim | this run |",
        "|---|---|---|",
        *(f"| {text} | {aim} | {value} |" for text, aim, value in _aims(found)),
        "",
        "Parquet in, Parquet out: from the first byte sent to the last byte of the results read. *The limit*: one",
        "process with one thread that reads the same file with pandas, makes features of it, runs the ONNX model",
        "and writes the same answers to the same format (`bench/batch_limit.py`), in turn with ours in the same",
        f"run. Up to {LARGE_ROWS:,} rows both batch worker processes of `make run` share a job; a larger one has one",
        "at a time, so that its ratio is that of a worker core. CPU is of all our processes, Redis included, for one",
        "row. Batch workers step back for single requests (`nice`); the limit and FastAPI run with their niceness.",
        "",
        "| rows | worker cores | ours, rows/s | the limit, rows/s | ratio | CPU µs a row | of it the worker | of the limit | probability alone, rows/s |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {each['rows']:,} | {1 if each['rows'] > LARGE_ROWS else PROCESSES[Queues.BATCH]} | "
            f"{each['rows_per_s']:,.0f} | {each['full_limit_rows_per_s']:,.0f} | "
            f"{each['ratio']:.2f} | {each['cpu_us_a_row']:.0f} | "
            f"{each['worker_cpu_us_a_row']:.0f} | {each['full_limit_cpu_us_a_row']:.0f} | "
            f"{each['probability_limit_rows_per_s']:,.0f} |"
            for each in files
        ),
        "",
        "The last column is that process without reasons, steps, dates and confidence, from pandas' columns",
        "straight to the model.",
        "",
        f"The most memory of each process after {largest['rows']:,} rows (VmHWM, MB, shared pages included): "
        + ", ".join(f"{name} {mb:.0f}" for name, mb in sorted(largest["peaks_mb"].items()))
        + f"; the limit's {largest['full_limit_peak_mb']:.0f}. What Redis held at its peak:",
        f"{largest['redis_peak_mb']:.0f} MB.",
        "",
        "The same list as JSON in one request, all answers in the response. FastAPI checks it with pydantic and",
        "predicts in process (`bench/rivals/fastapi_onnx.py`); neither stores a verdict. Our web process has had",
        f"{found['peaks_after_json_mb']['web']:.0f} MB at most by then.",
        "",
        "| rows | ours, rows/s | FastAPI, rows/s | ratio |",
        "|---:|---:|---:|---:|",
        *(
            f"| {each['rows']:,} | {each['ours_rows_per_s']:,.0f} | {each['fastapi_rows_per_s']:,.0f} | "
            f"{each['ratio']:.2f} |"
            for each in found["json"]
        ),
        "",
        f"Single predictions at {singles['rate']:g}/s, each of a charger of its own, beside a job of",
        f"{largest['rows']:,} rows (`bench/steady.py`: requests leave on time whatever the answers take):",
        "",
        "| | seconds | p50 ms | p95 ms | p99 ms | errors |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {text} | {each['seconds']:.0f} | {each['p50_ms']:.1f} | {each['p95_ms']:.1f} | "
            f"{each['p99_ms']:.1f} | {sum(each['errors'].values())} of {each['requests']} |"
            for text, each in (
                ("no job", singles["idle"]),
                ("while its file is taken in", singles["upload"]),
                ("while it is scored", singles["scoring"]),
                ("while its results are read", singles["download"]),
            )
        ),
        "",
    ]


def _aims(found: Found) -> list[tuple[str, str, str]]:
    files = {each["rows"]: each for each in found["files"]}
    large = [each for rows, each in files.items() if rows >= 100_000]
    rows = [
        (
            f"{each['rows']:,} rows: ours for each worker core / the limit",
            ">= 0.8",
            f"{each['ratio']:.2f}",
        )
        for each in large
    ]
    flat = files[1_000_000]["cpu_us_a_row"] / files[10_000]["cpu_us_a_row"]
    rows.append(("cost of a row: 1,000,000 rows / 10,000 rows", "about 1", f"{flat:.2f}"))
    peak_mb = max(files[1_000_000]["peaks_mb"].values())
    rows.append(("the most memory of any process, 1,000,000 rows", f"< {MOST_MB} MB", f"{peak_mb:.0f} MB"))
    least = min(each["ratio"] for each in found["json"] if each["rows"] >= 1_000)
    rows.append(("JSON from 1,000 rows on: ours / FastAPI, the least", "> 1", f"{least:.2f}"))
    singles = found["singles"]
    slower = singles["scoring"]["p99_ms"] / singles["idle"]["p99_ms"]
    rows.append(("p99 of single predictions: while a job is scored / without", "< 2", f"{slower:.2f}"))
    return rows
