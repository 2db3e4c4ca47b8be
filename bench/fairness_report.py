"""The section of `docs/benchmarks.md` about fairness between tenants."""

from __future__ import annotations

from typing import Any, Final

from bench.fairness import TIMES_CAPACITY

HEADING: Final = "## Fairness between tenants"

Found = dict[str, Any]


def section(found: Found) -> list[str]:
    """Return the lines of the section, heading first."""
    singles, jobs = found["singles"], found["jobs"]
    a = singles["a"]
    statuses = ", ".join(f"{count} of {status}" for status, count in sorted(a["statuses"].items()))
    return [
        HEADING,
        "",
        '`make bench` measures it too; `make bench BENCH="--only fairness"` measures nothing else.',
        "",
        "| | aim | this run |",
        "|---|---|---|",
        *(f"| {text} | {aim} | {value} |" for text, aim, value in _aims(found)),
        "",
        f"Tenant B asks {singles['rate']:g} times a second (`bench/steady.py`). Tenant A asks {TIMES_CAPACITY} times as often as the service",
        f"can answer it alone, which was {singles['capacity']:,.0f} predictions/s, over {singles['connections']} connections (`bench/flood.py`). A",
        "request of A that is due while all its connections wait is not sent. Both generators run on the processors",
        "of the service.",
        "",
        "| B's single predictions | p50 ms | p95 ms | p99 ms | answered 200 |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {text} | {each['p50_ms']:.1f} | {each['p95_ms']:.1f} | {each['p99_ms']:.1f} | "
            f"{each['requests'] - sum(each['errors'].values())} of {each['requests']} |"
            for text, each in (("alone", singles["alone"]), ("beside A", singles["beside"]))
        ),
        "",
        f"Of A, {a['due'] / a['seconds']:,.0f} requests/s were due and {a['sent'] / a['seconds']:,.0f}/s were sent. Answers by status: {statuses}.",
        f"A's load generator took {a['cpu_s'] / a['seconds']:.2f} of a core.",
        "",
        f"| B's job of {jobs['rows']:,} rows | median ms | longest ms |",
        "|---|---:|---:|",
        *(
            f"| {text} | {jobs[f'{name}_s'] * 1000:.0f} | {jobs[f'{name}_most_s'] * 1000:.0f} |"
            for text, name in (
                ("alone", "alone"),
                (f"while A's {jobs['large_rows']:,} rows are scored", "beside"),
            )
        ),
        "",
        f"The machine's load average of 15 minutes was {found['load']:.1f} at the end.",
        "",
    ]


def _aims(found: Found) -> list[tuple[str, str, str]]:
    alone, beside = found["singles"]["alone"], found["singles"]["beside"]
    answered = 1 - sum(beside["errors"].values()) / beside["requests"]
    slower = beside["p99_ms"] / alone["p99_ms"]
    longer = found["jobs"]["beside_s"] / found["jobs"]["alone_s"]
    return [
        ("B's single predictions beside A: answered 200", ">= 99 %", f"{answered:.2%}"),
        ("their p99: beside A / alone", "<= 2", f"{slower:.2f}"),
        ("B's job: beside A's / alone", "<= 3", f"{longer:.2f}"),
    ]
