"""Report of a comparison: build/bench-compare.md for people, build/bench-compare.json for programs."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from bench.compare_verdict import Judgement
from bench.load import generator
from settings import ROOT

PAGE: Final = ROOT / "build" / "bench-compare.md"
DATA: Final = ROOT / "build" / "bench-compare.json"

Runs = Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]]


def progress(judgements: Sequence[Judgement]) -> str:
    """Return the deciding figures so far, in one line."""
    return "  ".join(
        f"{one.figure.measure} {one.figure.name} {one.median:.3f} ({one.pairs})"
        for one in judgements
        if one.figure.decides
    )


def write(
    judgements: Sequence[Judgement],
    runs: Runs,
    errors: Mapping[str, int],
    names: Mapping[str, str],
    limit_percent: float,
) -> str:
    """Write both files. Returns the page."""
    lines = [
        f"# {names['new']} beside {names['old']}",
        "",
        f"Limit: {limit_percent:g} % worse. Ratios are new/old, medians of pairs; the interval holds the median with 95 % confidence (order statistics). Figures with * decide.",
        "",
        "| measure | figure | old | new | new/old | 95 % interval | pairs | verdict |",
        "|---|---|---:|---:|---:|---:|---:|---|",
        *(_row(one, runs, limit_percent) for one in judgements),
        "",
        f"Failed requests: old {errors['old']}, new {errors['new']}.",
        f"{os.cpu_count()} cores, Python {platform.python_version()}, load by {generator()}.",
        "",
    ]
    page = "\n".join(lines)
    PAGE.write_text(page)
    DATA.write_text(
        json.dumps(
            {
                "commits": names,
                "limit_percent": limit_percent,
                "errors": errors,
                "judgements": [_plain(one) for one in judgements],
                "runs": runs,
            },
            indent=1,
        )
    )
    return page


def _row(one: Judgement, runs: Runs, limit_percent: float) -> str:
    figure = one.figure
    old, new = (
        statistics.median(run[side][figure.name] for run in runs[figure.measure]) for side in ("old", "new")
    )
    name = f"{figure.name}, {figure.unit}{' *' if figure.decides else ''}"
    interval = "" if math.isnan(one.low) else f"{one.low:.3f} to {one.high:.3f}"
    cells = [figure.measure, name, _shown(old), _shown(new), f"{one.median:.3f}", interval, str(one.pairs)]
    return "| " + " | ".join([*cells, _verdict(one, limit_percent)]) + " |"


def _verdict(one: Judgement, limit_percent: float) -> str:
    if math.isnan(one.low):
        return "not decided: too few pairs"
    if one.verdict == "undecided":
        return "not decided: interval wider than the limit"
    return f"within {limit_percent:g} %" if one.verdict == "within" else f"worse by {one.cost * 100:.1f} %"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _plain(one: Judgement) -> dict[str, Any]:
    """Replace NaN, which JSON does not support."""
    found = asdict(one) | {"cost": one.cost}
    return {name: None if value != value else value for name, value in found.items()}
