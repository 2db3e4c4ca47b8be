"""Recorded series of an alert: their file, and their stretching in time for promtool.

A file is JSON. `quiet_s`, `fault_s` and `after_s` are the seconds before the fault, with it, and after it.
Each series has one value for each `interval_s` seconds, from the beginning of `quiet_s`: `12*3 - 15` is 12,
12, 12, no value (the scrape failed or did not show the series), 15.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

from settings import ROOT

RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
FOLDER: Final = Path(__file__).with_name("alert_series")
NONE: Final = "-"

Values = Sequence[float | None]


def rules() -> list[dict[str, Any]]:
    """All rules of the file, recording rules included."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alert_of(name: str) -> str:
    """The alert of a recording, which is called ALERT or ALERT.VARIANT."""
    return name.partition(".")[0]


def metrics_of(name: str) -> frozenset[str]:
    """The metrics that the expression of a recording's alert reads, itself or by recording rules."""
    expressions = {rule.get("alert", rule.get("record")): rule["expr"] for rule in rules()}
    expression = expressions[alert_of(name)]
    recorded = re.findall(r"\bevzone_ml:[\w:]+", expression)
    text = " ".join([expression, *(expressions[record] for record in recorded)])
    return frozenset(re.findall(r"\bml_\w+", text))


@dataclass(frozen=True)
class Recording:
    """The series that one alert reads. If not `recorded`, they are by hand, and `fault` has the reason."""

    recorded: bool
    fault: str
    interval_s: int
    quiet_s: int
    fault_s: int
    after_s: int
    series: dict[str, str]

    @classmethod
    def of(cls, name: str) -> Recording:
        """Read a file by its name. Raises `OSError`, `ValueError`, `TypeError`."""
        return cls(**json.loads((FOLDER / f"{name}.json").read_text()))

    def write(self, name: str) -> Path:
        """Write a file. Returns its path."""
        file = FOLDER / f"{name}.json"
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return file

    def stretched(self, factor: int, scrape_s: int) -> dict[str, str]:
        """Stretch all series in time, in the notation of promtool with a value for each `scrape_s` seconds.

        The moment t of a recording comes at `factor` x t, so a recorded sample stands for `factor` x
        `interval_s` seconds:

        - A gauge keeps each value for that time. It changes `factor` times more slowly than it did.
        - A counter (`_total`) is multiplied by `factor`, and is linear between two samples. So its increase
          per second stays that of the recording, at each moment. A restart at 0 stays one.
        - A sample that is missing is missing for that time, and stale at once, as after a failed scrape.

        With `factor` 1 and `scrape_s` above `interval_s` samples between two scrapes are left out.
        """
        scrapes = (self.quiet_s + self.fault_s + self.after_s) * factor // scrape_s
        found = {}
        for name, text in self.series.items():
            values = unpack(text)
            is_counter = name.partition("{")[0].endswith("_total")
            places = (scrape * scrape_s / factor / self.interval_s for scrape in range(scrapes))
            samples = (_counter(values, at, factor) if is_counter else values[int(at)] for at in places)
            found[name] = " ".join(_in_promtool(samples))
        return found


def pack(values: Values) -> str:
    """Write values as text, runs of equal ones as `value*times`."""
    runs = ((text, len(list(run))) for text, run in groupby(map(_text, values)))
    return " ".join(text if times == 1 else f"{text}*{times}" for text, times in runs)


def unpack(text: str) -> list[float | None]:
    """The inverse of `pack`, but for rounding."""
    values: list[float | None] = []
    for run in text.split():
        value, _, times = run.partition("*")
        values += [None if value == NONE else float(value)] * int(times or 1)
    return values


def _text(value: float | None) -> str:
    """The value with 3 decimals at most."""
    return NONE if value is None else f"{round(value, 3) + 0.0:.15g}"  # -0.0 becomes 0.0


def _counter(values: Values, at: float, factor: int) -> float | None:
    before = values[int(at)]
    after = values[int(at) + 1] if int(at) + 1 < len(values) else before
    if before is None:
        return None
    if after is None or after < before:
        after = before
    return factor * (before + (after - before) * (at % 1))


def _in_promtool(samples: Iterator[float | None]) -> Iterator[str]:
    was_there = False
    for sample in samples:
        if sample is None:
            yield "stale" if was_there else "_"
        else:
            yield f"{sample:.10g}"
        was_there = sample is not None
