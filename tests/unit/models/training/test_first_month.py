"""A fleet's first version: horizons that its history is too short for are carried from the longest learnt."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models import registry
from models.__main__ import main
from models.calibration import Calibration, logit, sigmoid
from models.failure import MAX_P, MIN_P
from models.horizon_days import HORIZON_NAMES
from models.scorer import Scorer
from models.simulation.simulate import simulate
from models.training import boosting, cross_validation
from models.training.horizons import carried_calibration, carried_probability
from readings.reading import Reading
from settings import ROOT, Costs

pytestmark = pytest.mark.timeout(600)

LIFTS = Path(os.environ.get("EVZONE_STATION_LIFTS") or ROOT / ".." / "shared" / "data" / "station_lifts")
START = pd.Timestamp("2025-01-01", tz="UTC")
Train = Callable[..., int]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("history"))
    simulate(250, 62, 5).write(folder)
    return folder


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Trains few trees on a history; versions are below `tmp_path / "versions"`."""
    monkeypatch.setattr(boosting, "TREES", 12)
    monkeypatch.setattr(cross_validation, "MIN_TREES", 4)
    monkeypatch.setattr(cross_validation, "BLOCKS", 3)

    def run(folder: Path, *options: str) -> int:
        where = ["--history", str(folder), "--model-dir", str(tmp_path / "versions"), "--version", "v"]
        return main(["train", *where, *options])

    return run


def manifest_of(tmp_path: Path, name: str = "failure") -> dict[str, Any]:
    return registry.load(tmp_path / "versions", name, "v").manifest


def until(days: float) -> list[str]:
    return ["--until", (START + pd.Timedelta(days=days)).isoformat()]


def test_a_carried_calibration_keeps_the_hazard() -> None:
    source = Calibration(np.array([-30.0, -4.0, 0.0, 25.0]), np.array([-28.0, -5.0, -1.0, 15.0]))
    raw = np.linspace(-35, 30, 4001)
    p = sigmoid(source.log_odds(raw)).clip(MIN_P, MAX_P)
    for days, to_days in ((1.0, 7.0), (1.0, 30.0), (7.0, 30.0)):
        carried = carried_calibration(source, days, to_days)
        assert (np.diff(carried.raw) > 0).all()
        assert (np.diff(carried.calibrated) > 0).all()
        found = sigmoid(carried.log_odds(raw)).clip(MIN_P, MAX_P)
        wanted = carried_probability(p, days, to_days).clip(MIN_P, MAX_P)
        np.testing.assert_allclose(found, wanted, rtol=0.006, atol=1e-9)
        np.testing.assert_allclose(wanted, np.minimum(1 - (1 - p) ** (to_days / days), MAX_P), rtol=1e-9)


def test_a_calibration_far_from_the_usual_can_be_carried() -> None:
    for level in (-14.0, 3.0, 9.0):
        source = Calibration(np.array([-1.0, 1.0]), np.array([level, level + 0.2]))
        carried = carried_calibration(source, 1.0, 30.0)
        p = sigmoid(carried.log_odds(np.array([-2.0, 0.0, 2.0])))
        wanted = carried_probability(sigmoid(np.array([level, level + 0.1, level + 0.2])), 1.0, 30.0)
        np.testing.assert_allclose(p.clip(30 * MIN_P, MAX_P), wanted.clip(30 * MIN_P, MAX_P), rtol=0.01)


@pytest.mark.parametrize(("days", "learnt"), [(12, 1), (20, 2), (61.5, 3)])
def test_horizons_that_cannot_be_observed_are_carried(
    days: float,
    learnt: int,
    history: Path,
    tmp_path: Path,
    train: Train,
    costs: Costs,
    reading: Callable[..., Reading],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(history, *until(days), "--activate") == 0
    said = capsys.readouterr().out
    manifest = manifest_of(tmp_path)
    longest = HORIZON_NAMES[learnt - 1]
    for number, name in enumerate(HORIZON_NAMES):
        about, metrics = manifest["horizons"][name], manifest["metrics"][name]
        if number < learnt:
            assert about["carried_from"] is None
            assert metrics["rows"] > 0
            continue
        assert about["carried_from"] == longest
        assert metrics == {"rows": 0, "reason": metrics["reason"]}
        assert f"carried from {longest}" in metrics["reason"]
        assert metrics["reason"] in said
    rates = [manifest["base_rate"][name] for name in HORIZON_NAMES]
    assert 0 < rates[0] < rates[1] < rates[2] < 1
    where = ["--history", str(history), "--model-dir", str(tmp_path / "versions")]
    window = ["--from", START.isoformat(), "--to", (START + pd.Timedelta(days=days)).isoformat()]
    assert main(["score", *where, *window, "--out", str(tmp_path / "scores.parquet")]) == 0
    said_1d = pd.read_parquet(tmp_path / "scores.parquet")["p_1d"].median()
    assert rates[0] / 4 < said_1d < rates[0] * 2
    scorer = Scorer.load(tmp_path / "versions", costs)
    hot = reading(temperature=80.0, error_codes=("GroundFailure",))
    faulty = reading(connector_status="FAULTY")
    for verdict in scorer.score("failure", [reading(), hot, faulty]):
        curve = list(verdict["horizons"].values())
        assert 0 < curve[0] <= curve[1] <= curve[2] < 1
    assert manifest["horizons"]["30d"]["carried_from"] == (None if learnt == 3 else longest)
    assert len(scorer.score("maintenance", [reading()])) == len(scorer.score("anomaly", [reading()])) == 1
    assert manifest_of(tmp_path, "anomaly")["metrics"]["healthy_days"] == (1.0, 7.0, 30.0)[learnt - 1]


@pytest.mark.parametrize("days", [0.1, 1, 1.9])
def test_a_history_that_teaches_no_day_is_refused_in_one_line(
    days: float, history: Path, tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(history, *until(days)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    readings = pd.read_parquet(history / "readings.parquet")["timestamp"]
    assert f"{(readings <= START + pd.Timedelta(days=days)).sum()} readings over {days:.1f} days with" in line
    assert "1d needs 2 days of readings, 10 failures" in line
    assert not (tmp_path / "versions").exists()


def write(folder: Path, readings: pd.DataFrame, failures: pd.DataFrame) -> Path:
    folder.mkdir(exist_ok=True)
    readings.to_csv(folder / "readings.csv", index=False)
    failures.to_csv(folder / "failures.csv", index=False)
    return folder


def fleet(chargers: int, days: int) -> pd.DataFrame:
    times = pd.date_range(START, periods=days, freq="D")
    ids = [f"C{number}" for number in range(chargers)]
    return pd.MultiIndex.from_product([ids, times], names=["charger_id", "timestamp"]).to_frame(index=False)


NONE = pd.DataFrame({"charger_id": [], "timestamp": []})


def onsets(*of: tuple[str, float]) -> pd.DataFrame:
    rows = [(name, START + pd.Timedelta(days=day)) for name, day in of]
    return pd.DataFrame(rows, columns=["charger_id", "timestamp"])


@pytest.mark.parametrize(
    ("readings", "failures", "said"),
    [
        (NONE, NONE, "0 readings over 0.0 days with 0 failures"),
        (fleet(1, 1), NONE, "1 readings over 0.0 days with 0 failures"),
        (fleet(50, 40), NONE, "2000 readings over 39.0 days with 0 failures"),
        (fleet(50, 40), onsets(*((f"C{n}", 9.5) for n in range(9))), "with 9 failures"),
        (fleet(1, 400), onsets(("C0", 9.5)), "400 readings over 399.0 days with 1 failures"),
        (fleet(50, 40), onsets(*(("C1", 9.5 + n / 100) for n in range(12))), "with 12 failures"),
    ],
    ids=["empty", "one reading", "no failure", "few failures", "one charger", "one bad day"],
)
def test_too_few_failures_are_refused(
    readings: pd.DataFrame,
    failures: pd.DataFrame,
    said: str,
    tmp_path: Path,
    train: Train,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(write(tmp_path / "history", readings, failures)) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "versions").exists()


def test_one_charger_with_many_failures_teaches(tmp_path: Path, train: Train) -> None:
    failures = onsets(*(("C0", 10.5 + 20 * number) for number in range(30)))
    assert train(write(tmp_path / "history", fleet(1, 620), failures)) == 0
    manifest = manifest_of(tmp_path)
    assert "reason" in manifest["metrics"]["1d"]  # every second charger is judged, and there is none
    assert set(manifest["metrics_by_charger_7d"]) == {"reason"}


def test_a_fleet_without_failures_has_an_anomaly_model(tmp_path: Path, train: Train) -> None:
    assert train(write(tmp_path / "history", fleet(150, 4), NONE), "--model", "anomaly") == 0
    assert manifest_of(tmp_path, "anomaly")["metrics"]["healthy_days"] == 1.0


def test_an_anomaly_model_of_too_few_readings_is_refused(
    tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(write(tmp_path / "history", fleet(40, 4), NONE), "--model", "anomaly") == 2
    (line,) = (one for one in capsys.readouterr().err.splitlines() if one.startswith("models train"))
    assert "160 readings over 3.0 days with 0 failures" in line


@pytest.mark.skipif(not LIFTS.is_dir(), reason=f"the data of station lifts are not at {LIFTS}")
def test_the_first_month_of_the_station_lifts(tmp_path: Path, train: Train) -> None:
    assert train(LIFTS, "--until", "2018-12-10") == 0
    manifest = manifest_of(tmp_path)
    assert [manifest["horizons"][name]["carried_from"] for name in HORIZON_NAMES] == [None, None, "7d"]
    week, month = manifest["base_rate"]["7d"], manifest["base_rate"]["30d"]
    assert logit(np.array(month)) == pytest.approx(logit(np.array(1 - (1 - week) ** (30 / 7))))
