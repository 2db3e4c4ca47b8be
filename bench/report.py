"""`docs/benchmarks.md` and its plot, from the results of one run. Ratios come first."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench import batch_report, fairness_report, overload_report, stream_report
from bench.contestants import CONTESTANTS, FASTAPI, FOLDER, LITSERVE, MLSERVER, OURS, PLAIN, REPEATED, venv
from settings import ROOT

PAGE: Final = ROOT / "docs" / "benchmarks.md"
PLOT: Final = ROOT / "docs" / "benchmarks.svg"
# Measurements besides the contestants, in the page's order. Each has a section.
PARTS: Final = {
    "batch": batch_report,
    "stream": stream_report,
    "fairness": fairness_report,
    "overload": overload_report,
}
# From here to HOW the page is written by hand.
BY_HAND: Final = "## Faults"
HOW: Final = "## How"
# A rival below this multiple of the plain way is badly configured.
LEAST_FASTAPI_RATIO: Final = 10.0

Result = dict[str, Any]


def write(results: Sequence[Result], generator: str, seconds: float, rounds: int) -> int:
    """Write page and plot. Returns the exit code: 1 if a rival seems detuned."""
    found = {(result["name"], result["connections"]): result for result in results}
    _plot()
    ratio = _ratio(found, FASTAPI, PLAIN, 64)
    detuned = ratio is not None and ratio < LEAST_FASTAPI_RATIO
    PAGE.write_text(_page(found, generator, seconds, rounds, detuned=detuned))
    return int(detuned)


def renew_parts() -> None:
    """Replace the sections of `PARTS` that have results here. The rest of the page is unchanged."""
    page = PAGE.read_text()
    for name, part in PARTS.items():
        results = FOLDER / f"{name}.json"
        if results.exists():
            section = "\n".join(part.section(json.loads(results.read_text()))) + "\n"
            before, found, after = page.partition(f"{part.HEADING}\n")
            if found:
                following = after.find("\n## ") + 1
            else:
                before, found, after = page.partition(BY_HAND if BY_HAND in page else HOW)
                after, following = found + after, 0
            page = before + section + after[following:]
    PAGE.write_text(page)


def _by_hand() -> str:
    """Return the part of the page that no measurement writes, empty if there is none."""
    _, found, after = PAGE.read_text().partition(BY_HAND)
    return found + after.partition(HOW)[0] if found else ""


def _parts() -> list[str]:
    """Return the sections of the measured parts."""
    lines: list[str] = []
    for name, part in PARTS.items():
        results = FOLDER / f"{name}.json"
        if results.exists():
            lines += part.section(json.loads(results.read_text()))
    return lines


def _ratio(found: dict[tuple[str, int], Result], one: str, other: str, connections: int) -> float | None:
    above, below = found.get((one, connections)), found.get((other, connections))
    if not above or not below or not below["per_second"]:
        return None
    return float(above["per_second"] / below["per_second"])


def _page(
    found: dict[tuple[str, int], Result], generator: str, seconds: float, rounds: int, *, detuned: bool
) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. What is compared is of one run on one machine; the ratios are what carries over.",
        "",
        "## Ratios",
        "",
        "| | aim | this run |",
        "|---|---|---|",
    ]
    for text, aim, value in _aims(found):
        lines.append(f"| {text} | {aim} | {value} |")
    lines += ["", "![Throughput against p99](benchmarks.svg)", ""]
    if detuned:
        lines += [
            f"**{FASTAPI} reached less than {LEAST_FASTAPI_RATIO:g} times the plain way: the rivals return the",
            "full verdict, one row at a time, and most of that is spent in `models`.** `make bench` ends with",
            "exit code 1 for it.",
            "",
        ]
    lines += [
        "## The full answer",
        "",
        "CPU is of all processes, Redis included, for one answer; memory counts shared pages once.",
        "",
        *_table([result for result in found.values() if result["answer"] == "full"]),
        "",
        "## The probability alone",
        "",
        "What the rivals reach without reasons, steps, dates and confidence, which ours always gives.",
        "",
        *_table([result for result in found.values() if result["answer"] == "probability"]),
        "",
        *_parts(),
        _by_hand() + HOW,
        "",
        f"- `make bench`: {seconds:g} s for each measurement after 2 s of warming up; one contestant at a time, all",
        f"  of them in turn {rounds} times. Shown are the medians, and the sum of errors. `--only singles` measures",
        "  nothing else.",
        f"- Load: {generator}, one thread, on the same machine; `bench/wrk.lua` makes the readings. *Unique*:",
        "  each reading is of a charger of its own. *Repeated*: 500 readings again and again.",
        "- Ours: everything that `make run` starts (Redis, Kafka, web, three workers, consumer, Flower), with its",
        "  settings. It also validates by the full contract, reads and keeps history, fills cache and fleet store",
        "  and counts metrics; the rivals only answer.",
        "- Rivals: `bench/rivals/`, two processes each, the full verdict through the service's own `models`",
        "  functions. The plain way scores with scikit-learn, the others with the same ONNX graph.",
        "- Each contestant's answer is looked at once: all of the verdict must be there.",
        f"- Machine: {os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}.",
        "- Versions: " + ", ".join(_versions()) + ".",
        "- `make bench` also leaves flame graphs of web and worker under load in `build/bench/flame-*.svg`.",
        "",
        "## Commands",
        "",
        "OMP_NUM_THREADS is 1 for all of them.",
        "",
    ]
    seen: set[str] = set()
    for result in found.values():
        new = [command for command in result["commands"] if command not in seen]
        seen.update(new)
        if new:
            lines += [f"{result['name']}:", "", "```sh", *new, "```", ""]
    return "\n".join(lines)


def _table(some: Sequence[Result]) -> list[str]:
    return [
        "| | connections | requests/s | p50 ms | p99 ms | errors | CPU ms | MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {result['name'].removesuffix(', probability alone')} | {result['connections']} | "
            f"{result['per_second']:.0f} | {result['p50_ms']:.1f} | {result['p99_ms']:.1f} | "
            f"{result['errors']} | {result['cpu_ms']:.2f} | {result['memory_mb']:.0f} |"
            for result in some
        ),
    ]


def _processor() -> str:
    """Return the processor's name, if available (Linux)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def _aims(found: dict[tuple[str, int], Result]) -> list[tuple[str, str, str]]:
    def times(one: str, other: str, connections: int) -> str:
        ratio = _ratio(found, one, other, connections)
        return "not measured" if ratio is None else f"{ratio:.2f}"

    rows = [
        (f"64 connections, unique readings: ours / {other}", f">= {aim}", times(OURS, other, 64))
        for other, aim in ((PLAIN, 12), (LITSERVE, 2), (MLSERVER, 2), (FASTAPI, 0.7))
    ]
    rows.append((f"64 connections: ours from the cache / {FASTAPI}", ">= 1.0", times(REPEATED, FASTAPI, 64)))
    one, rival = found.get((OURS, 1)), found.get((FASTAPI, 1))
    if one and rival:
        aim = f"<= {2 * rival['p50_ms'] + 1:.1f} ms"
        rows.append((f"1 connection, p50 (2 x {FASTAPI} + 1 ms)", aim, f"{one['p50_ms']:.1f} ms"))
    if many := found.get((OURS, 256)):
        value = f"{many['errors']} errors, {many['p99_ms']:.0f} ms"
        rows.append(("256 connections: errors, p99", "0, < 3000 ms", value))
    if busy := found.get((OURS, 64)):
        rows.append(
            ("64 connections: CPU for a prediction, all processes", "<= 0.5 ms", f"{busy['cpu_ms']:.2f} ms")
        )
    return rows


def _versions() -> list[str]:
    found = []
    for contestant in CONTESTANTS:
        for package in contestant.packages:
            text = f"{package} {_version(package, contestant.environment)}"
            if text not in found:
                found.append(text)
    return found


def _version(package: str, environment: str) -> str:
    if not environment:
        return version(package)
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run(
        [venv(environment), "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _plot() -> None:
    subprocess.run(
        [venv("tools"), str(Path(__file__).with_name("plot.py")), str(PLOT)], check=True, cwd=FOLDER
    )
