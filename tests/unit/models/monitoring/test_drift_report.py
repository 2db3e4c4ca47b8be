"""Live readings against training: alike is stable, moved is named, and what cannot be judged is not.

The readings are those of a simulated fleet of another seed than the committed versions' training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.features.frame import Frame, compute
from models.monitoring.drift_report import Baseline
from models.monitoring.loaded_version import LoadedVersion
from models.scorer import Scorer
from models.simulation.simulate import simulate
from models.training.history import History, load

DAY_S = 86_400


@pytest.fixture(scope="module")
def version(scorer: Scorer) -> LoadedVersion:
    return LoadedVersion.active(scorer, "failure")


@pytest.fixture(scope="module")
def baseline(version: LoadedVersion) -> Baseline:
    found = Baseline.of(version.manifest)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def fleet(version: LoadedVersion, tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("fleet")
    simulate(300, 365, 77).write(folder)
    return load(folder, spec=version.model.spec)


def frame_of(
    fleet: History, version: LoadedVersion, since_day: int = 0, days: int = 365, rows: int = 2_000
) -> Frame:
    day = (fleet.columns.time_s - fleet.columns.time_s.min()) / DAY_S
    where = np.flatnonzero((day >= since_day) & (day < since_day + days))
    picked = np.random.default_rng(1).choice(where, min(rows, len(where)), replace=False)
    return compute(fleet.columns, version.model.spec, np.sort(picked))


def report(baseline: Baseline, version: LoadedVersion, frame: Frame) -> dict[str, Any]:
    return baseline.report(baseline.count(frame, version.scores(frame)))


def column(version: LoadedVersion, name: str) -> int:
    return version.model.spec.names.index(name)


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["feature"]: each for each in found["features"]}


def test_a_fleet_like_the_one_of_training_is_stable(
    baseline: Baseline, version: LoadedVersion, fleet: History
) -> None:
    found = report(baseline, version, frame_of(fleet, version))
    assert (found["status"], found["drifted"]) == ("stable", [])
    assert found["score"]["status"] == "stable"
    assert found["readings"] + found["in_failure"] == 2_000
    assert found["in_failure"] > 0  # training has none of these: they are left out
    assert "history_days" not in by_name(found)
    indexes = [each["psi"] for each in found["features"]]
    assert indexes == sorted(indexes, reverse=True)


def test_a_season_is_no_drift_and_25_k_are(
    baseline: Baseline, version: LoadedVersion, fleet: History
) -> None:
    week = frame_of(fleet, version, since_day=200, days=7)
    found = report(baseline, version, week)
    assert found["status"] == "stable"
    assert by_name(found)["temperature_c"]["psi"] > 0.25  # as it is for any week of a year
    week[:, column(version, "temperature_c")] += 25
    found = report(baseline, version, week)
    assert (found["status"], found["drifted"]) == ("drifted", ["temperature_c"])


def test_what_is_offline_or_goes_missing_is_named(
    baseline: Baseline, version: LoadedVersion, fleet: History
) -> None:
    frame = frame_of(fleet, version)
    frame[:, column(version, "is_offline")] = 1
    frame[:, column(version, "uptime_h")] = np.nan
    found = report(baseline, version, frame)
    assert {"is_offline", "uptime_h"} == set(found["drifted"])
    uptime = by_name(found)["uptime_h"]
    assert (uptime["missing_share_now"], uptime["shares_now"][-1]) == (1, 1)
    assert uptime["missing_share_training"] < 0.1


def test_without_a_past_only_the_reading_itself_is_judged(
    baseline: Baseline, version: LoadedVersion, fleet: History
) -> None:
    frame = frame_of(fleet, version)
    frame[:, version.model.spec.first_history :] = np.nan
    found = report(baseline, version, frame)
    assert (found["status"], found["history"]["share_now"]) == ("stable", 0)
    judged = {each["source"] for each in found["features"] if each["status"] != "too_few_readings"}
    assert judged == {"reading"}
    assert found["score"]["status"] == "too_few_readings"  # training's is of readings with a past


def test_a_past_shorter_than_training_s_is_told_and_not_judged(
    baseline: Baseline, version: LoadedVersion, fleet: History
) -> None:
    found = report(baseline, version, frame_of(fleet, version, since_day=5, days=6))
    assert found["history"]["short"] is True
    assert {each["status"] for each in found["features"] if each["source"] == "history"} == {"short_history"}
    assert any(each["psi"] > 0.25 for each in found["features"] if each["source"] == "history")


def test_few_readings_and_none_say_nothing(
    baseline: Baseline, version: LoadedVersion, fleet: History
) -> None:
    few = frame_of(fleet, version)[:300]
    for counts in (np.zeros(baseline.length, np.int64), baseline.count(few, version.scores(few))):
        found = baseline.report(counts)
        assert found["status"] == "too_few_readings"
        assert {each["psi"] for each in found["features"]} == {None}


def test_counts_of_parts_add_up(baseline: Baseline, version: LoadedVersion, fleet: History) -> None:
    frame = frame_of(fleet, version)
    scores = version.scores(frame)
    parts = sum(baseline.count(frame[k::7], scores[k::7]) for k in range(7))
    np.testing.assert_array_equal(parts, baseline.count(frame, scores))


@pytest.mark.parametrize(
    "change", [None, [], {"features": {"luck": {"edges": [], "shares": [1]}}}, {"features": 1}]
)
def test_distributions_that_are_none_or_unreadable(version: LoadedVersion, change: object) -> None:
    assert Baseline.of(version.manifest | {"distributions": change}) is None
