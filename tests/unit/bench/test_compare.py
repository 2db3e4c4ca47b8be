from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import compare, compare_report
from bench.compare import NEW, OLD, Comparison
from bench.compare_load import MEASURES, Shot, Target, numbers

SINGLES, MIDDLE, STREAM = "singles, 64 connections", "singles, 16 connections", "stream"


def run(rate: float) -> dict[str, float]:
    return {"rate": rate, "cpu": 1.0, "p50": 1.0, "p99": 1.0}


def comparison(least: int = 6, most: int = 8) -> Comparison:
    return Comparison(0.05, least, most, list(MEASURES))


def with_ratios(measure_ratios: dict[str, list[float]], **bounds: int) -> Comparison:
    """A comparison whose new side had these rates beside an old one of 1."""
    found = comparison(**bounds)
    for measure in MEASURES:
        ratios = measure_ratios.get(measure, [1.0] * 6)
        found.runs[measure] = [{OLD: run(1.0), NEW: run(ratio)} for ratio in ratios]
    return found


def target(name: str) -> Target:
    found = Target.__new__(Target)  # without a service
    found.name = name
    return found


def refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def test_all_measures_are_wanted_until_each_has_the_least_number_of_pairs() -> None:
    assert comparison().wanted() == list(MEASURES)
    assert comparison(least=7).wanted() == list(MEASURES)
    assert with_ratios({}).wanted() == []


def test_more_pairs_are_wanted_of_a_measure_that_is_not_decided_up_to_the_most() -> None:
    wide = [0.9, 0.9, 0.9, 1.1, 1.1, 1.1]
    assert with_ratios({STREAM: wide}).wanted() == [STREAM]
    assert with_ratios({STREAM: wide}, most=6).wanted() == []


def test_no_more_pairs_are_wanted_for_a_figure_that_decides_nothing() -> None:
    assert with_ratios({MIDDLE: [0.9, 0.9, 0.9, 1.1, 1.1, 1.1]}).wanted() == []


def test_a_ratio_is_new_over_old() -> None:
    found = with_ratios({SINGLES: [0.8] * 6}).judgements()
    rate = next(one for one in found if one.figure.measure == SINGLES and one.figure.name == "rate")
    assert rate.median == pytest.approx(0.8)
    assert rate.verdict == "worse"


def test_sides_take_turns_so_that_a_drift_of_the_machine_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def shot(side: Target) -> Shot:
        order.append(side.name)
        # Each shot is slower than the one before, whichever side it is at.
        return Shot(100, 1.0 + len(order), 0.5, errors=1 if side.name == NEW else 0)

    monkeypatch.setattr(compare, "MEASURES", {SINGLES: shot})
    found = Comparison(0.05, 2, 2, [SINGLES])
    for _ in range(2):
        found.add(SINGLES, target(OLD), target(NEW))
    assert order == [OLD, NEW, NEW, OLD, NEW, OLD, OLD, NEW]
    assert [pair[NEW]["rate"] / pair[OLD]["rate"] for pair in found.runs[SINGLES]] == [1.0, 1.0]
    assert found.errors == {OLD: 0, NEW: 4}


def test_shots_of_one_side_are_added_up() -> None:
    shots = [Shot(100, 1.0, 0.2, p50_ms=1.0, p99_ms=3.0), Shot(300, 1.0, 0.4, p50_ms=2.0, p99_ms=5.0)]
    assert numbers(shots) == {"rate": 200.0, "cpu": pytest.approx(1.5), "p50": 1.5, "p99": 4.0}


def test_the_page_has_a_row_for_each_figure_and_the_data_are_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_report, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(compare_report, "DATA", tmp_path / "data.json")
    found = with_ratios({SINGLES: [0.8] * 6, STREAM: [1.0]})
    page = compare_report.write(found.judgements(), found.runs, found.errors, {OLD: "a", NEW: "b"}, 5.0)
    assert "| 0.800 | 0.800 to 0.800 | 6 | worse by 25.0 % |" in page
    assert "| 1.000 |  | 1 | not decided: too few pairs |" in page
    assert page.count("\n| ") == len(found.judgements()) + 1  # the head
    assert (tmp_path / "page.md").read_text() == page
    data = json.loads((tmp_path / "data.json").read_text(), parse_constant=refused)
    assert data["limit_percent"] == 5.0
    assert any(one["low"] is None for one in data["judgements"])
