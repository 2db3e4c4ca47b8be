"""The data of a charger's plots, as `frontend/plots.js` draws them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import orjson

from tasks.storage.fleet_rows import ACTIONS
from tasks.storage.reading_history import PastReading
from web.console.formats import action_label

DAY_S: Final = 86_400
HORIZON_DAYS: Final = (("1d", 1), ("7d", 7), ("30d", 30))
# From the least urgent action to the most urgent one.
_LEVELS: Final = ACTIONS[::-1]

# A title, and the data as JSON.
Plot = tuple[str, str]


def risk_curve(verdict: dict[str, Any]) -> str:
    """The probability of a failure by horizon, in percent, with the predicted window if there is one."""
    horizons = verdict["horizons"]
    values = [0.0, *(_percent(horizons[name]) for name, _ in HORIZON_DAYS)]
    return _encoded(
        x=[0, *(days for _, days in HORIZON_DAYS)],
        series=[{"label": "Risk", "values": values, "unit": " %"}],
        time=False,
        y=[0, 100],
        shade=_window_days(verdict),
    )


def _window_days(verdict: dict[str, Any]) -> list[float] | None:
    """The predicted window in days after the reading."""
    window = verdict["predicted_failure_window"] or {}
    if not window.get("start") or not window.get("end"):
        return None
    read_at = datetime.fromisoformat(verdict["reading_timestamp"])
    return [
        round((datetime.fromisoformat(window[name]) - read_at).total_seconds() / DAY_S, 2)
        for name in ("start", "end")
    ]


def over_time(verdicts: Sequence[dict[str, Any]], readings: Sequence[PastReading]) -> list[Plot]:
    """The plots of past verdicts and readings, both oldest first. All have the same range of times.

    Values that were never reported have no plot. Fewer than two times make no plots.
    """
    at = [datetime.fromisoformat(verdict["reading_timestamp"]).timestamp() for verdict in verdicts]
    times = [*at, *(reading.at for reading in readings)]
    if len(set(times)) < 2:
        return []
    shared = {"linked": True, "span": [min(times), max(times)]}
    plots: list[Plot] = []
    if verdicts:
        risks = [
            _series(f"Risk, {days} days", [_percent(each["horizons"][name]) for each in verdicts], colour)
            for name, days, colour in (("30d", 30, "1"), ("7d", 7, "4"))
        ]
        levels = [_LEVELS.index(each["recommended_action"]) for each in verdicts]
        action = {"label": "Action", "values": levels, "colour": "2", "stepped": True}
        plots = [
            ("Risk of a failure, %", _encoded(x=at, series=risks, y=[0, 100], **shared)),
            (
                "Recommended action",
                _encoded(
                    x=at, series=[action], y=[-0.3, 3.3], ticks=list(map(action_label, _LEVELS)), **shared
                ),
            ),
        ]
    read_at = [reading.at for reading in readings]
    values: tuple[tuple[str, str, Callable[[PastReading], float | None]], ...] = (
        ("Temperature", " °C", lambda reading: reading.temperature),
        ("Power", " kW", lambda reading: reading.power),
        ("Error codes", "", _number_of_codes),
    )
    for title, unit, value_of in values:
        found = [value_of(reading) for reading in readings]
        if any(value is not None for value in found):
            series = {"label": title, "values": found, "unit": unit, "colour": "3"}
            plots.append(
                (f"{title},{unit}" if unit else title, _encoded(x=read_at, series=[series], **shared))
            )
    return plots


def action_changes(verdicts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The verdicts, oldest first, whose action differs from the one before; each with that as `before`."""
    found = []
    for before, verdict in pairwise(verdicts):
        if before["recommended_action"] != verdict["recommended_action"]:
            found.append({**verdict, "before": before["recommended_action"]})
    return found


def _number_of_codes(reading: PastReading) -> int | None:
    return None if reading.error_codes is None else len(reading.error_codes)


def _percent(share: float) -> float:
    return round(share * 100, 2)


def _series(label: str, values: list[float], colour: str) -> dict[str, Any]:
    return {"label": label, "values": values, "unit": " %", "colour": colour}


def _encoded(**plot: Any) -> str:
    return orjson.dumps(plot).decode()
