"""The section of `docs/benchmarks.md` about overload."""

from __future__ import annotations

from typing import Any, Final

from bench.overload import AFTER_SHARE, ASKING, CONNECTIONS, OVERLOAD_S, READINGS_A_SECOND, ROUND_S, ROUNDS

HEADING: Final = "## Overload"
AIM_TIMES: Final = 4

Found = dict[str, Any]


def section(found: Found) -> list[str]:
    """Return the lines of the section, heading first."""
    return [
        HEADING,
        "",
        '`make bench` measures it too; `make bench BENCH="--only overload"` measures nothing else.',
        "",
        "| | aim | this run |",
        "|---|---|---|",
        *(f"| {text} | {aim} | {value} |" for text, aim, value in _aims(found)),
        "",
        f"A scorer is slowed to {READINGS_A_SECOND:g} readings a second. {ASKING} connections that always ask get {found['capacity']:,.0f} answers a second: the",
        f"capacity. Multiples of it are offered for {OVERLOAD_S:g} s each (an open loop, `bench/steady.py`). *Recovery*:",
        f"the last refusal of a load of {AFTER_SHARE:.0%} after it. Memory is that of all processes but Redis, which keeps the verdicts of",
        "each new charger.",
        "",
        "| load | sent/s | good/s | p50 ms | p99 ms | refused/s | their p95 ms | other answers | MB before, after | recovery s |",
        "|---:|---:|---:|---:|---:|---:|---:|---|---|---:|",
        *(
            f"| {row['times']} × | {row['sent']:,.0f} | {row['good']:,.0f} | {row['good_p50_ms']:,.0f} | "
            f"{row['good_p99_ms']:,.0f} | {row['refused']:,.0f} | {row['refused_p95_ms']:.1f} | "
            f"{_others(row['others'])} | {row['memory_mb'][0]:.0f}, {row['memory_mb'][1]:.0f} | "
            f"{row['recovery_s']:.1f} |"
            for row in found["slow"]
        ),
        "",
        f"At full speed: wrk, {ROUNDS} rounds of {ROUND_S:g} s in turn.",
        "",
        "| connections | good/s | p99 ms | refused or failed, all rounds |",
        "|---:|---:|---:|---:|",
        *(
            f"| {row['connections']:,} | {row['good']:,.0f} | {row['p99_ms']:,.0f} | {row['others']:,} |"
            for row in found["connections"]
        ),
        "",
        f"The machine's load average of 15 minutes was {found['load']:.1f} at the end.",
        "",
    ]


def _others(others: dict[str, int]) -> str:
    return ", ".join(f"{count} of {status}" for status, count in sorted(others.items())) or "none"


def _aims(found: Found) -> list[tuple[str, str, str]]:
    row = next(row for row in found["slow"] if row["times"] == AIM_TIMES)
    good = {row["connections"]: row["good"] for row in found["connections"]}
    few, *many = CONNECTIONS
    return [
        (
            f"{AIM_TIMES} × capacity: good answers / capacity",
            ">= 0.9",
            f"{row['good'] / found['capacity']:.2f}",
        ),
        (f"{AIM_TIMES} × capacity: p95 of refusals", "<= 50 ms", f"{row['refused_p95_ms']:.1f} ms"),
        (f"{AIM_TIMES} × capacity: p99 of good answers", "< 3000 ms", f"{row['good_p99_ms']:,.0f} ms"),
        (f"{AIM_TIMES} × capacity: recovery", "<= 5 s", f"{row['recovery_s']:.1f} s"),
        *(
            (f"good answers, {number:,} connections / {few}", ">= 0.8", f"{good[number] / good[few]:.2f}")
            for number in many
        ),
    ]
