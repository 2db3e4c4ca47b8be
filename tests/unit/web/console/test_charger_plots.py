"""The data of a charger's plots."""

from __future__ import annotations

from typing import Any, Final

import orjson

from tasks.storage.reading_history import PastReading
from web.console.charger_plots import action_changes, over_time, risk_curve

BEFORE: Final = 1_700_000_000.0


def verdict(at: str, p30: float, action: str) -> dict[str, Any]:
    horizons = {"1d": p30 / 4, "7d": p30 / 2, "30d": p30}
    return {
        "reading_timestamp": at,
        "horizons": horizons,
        "recommended_action": action,
        "predicted_failure_window": None,
    }


VERDICTS: Final = [
    verdict("2026-11-20T00:00:00.000Z", 0.1, "NONE"),
    verdict("2026-11-20T12:00:00.000Z", 0.1, "NONE"),
    verdict("2026-11-21T00:00:00.000Z", 0.9, "IMMEDIATE"),
]


def test_a_curve_begins_without_risk() -> None:
    curve = orjson.loads(risk_curve(VERDICTS[2]))
    assert (curve["x"], curve["series"][0]["values"]) == ([0, 1, 7, 30], [0, 22.5, 45, 90])


def test_a_predicted_window_is_in_days_after_the_reading() -> None:
    window = {"start": "2026-11-22T12:00:00.000Z", "end": "2026-12-01T00:00:00.000Z"}
    found = orjson.loads(risk_curve({**VERDICTS[2], "predicted_failure_window": window}))
    assert found["shade"] == [1.5, 10]
    for none in (None, {"start": None, "end": None}):
        assert orjson.loads(risk_curve({**VERDICTS[2], "predicted_failure_window": none}))["shade"] is None


def test_values_that_are_never_reported_have_no_plot() -> None:
    readings = [
        PastReading(BEFORE, "CHARGING", None, 40.0, None),
        PastReading(BEFORE + 60, "CHARGING", None, None, None),
    ]
    titles = [title for title, _ in over_time([], readings)]
    assert titles == ["Temperature, °C"]
    found = orjson.loads(over_time([], readings)[0][1])
    assert found["series"][0]["values"] == [40.0, None]
    assert found["span"] == [BEFORE, BEFORE + 60]


def test_no_error_code_is_not_an_unknown_number_of_codes() -> None:
    readings = [
        PastReading(BEFORE, "CHARGING", None, None, []),
        PastReading(BEFORE + 60, "CHARGING", None, None, None),
        PastReading(BEFORE + 120, "CHARGING", None, None, ["A", "B"]),
    ]
    ((title, plot),) = over_time([], readings)
    assert (title, orjson.loads(plot)["series"][0]["values"]) == ("Error codes", [0, None, 2])


def test_all_plots_have_one_range_of_times() -> None:
    readings = [PastReading(BEFORE, "CHARGING", 11.0, 40.0, [])]
    spans = [orjson.loads(plot)["span"] for _, plot in over_time(VERDICTS, readings)]
    assert len(spans) == 5
    assert all(span[0] == BEFORE and span == spans[0] for span in spans)


def test_one_time_makes_no_plot() -> None:
    assert over_time(VERDICTS[:1], []) == []
    assert over_time([], []) == []


def test_actions_rise_with_their_urgency() -> None:
    plots = dict(over_time(VERDICTS, []))
    assert orjson.loads(plots["Recommended action"])["series"][0]["values"] == [0, 0, 3]


def test_changes_of_the_action_name_the_one_before() -> None:
    assert action_changes(VERDICTS) == [{**VERDICTS[2], "before": "NONE"}]
    assert action_changes(VERDICTS[:2]) == []
