"""An evaluation beside the counting rule and other scores, against a plain computation of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from models.__main__ import main
from models.evaluation.counting_rule import COUNTING_RULE, outage_days
from models.evaluation.figures import MODEL
from models.training.history import load

START = pd.Timestamp("2025-01-01T22:00", tz="UTC")
DAYS, CHARGERS = 150, 60
SINCE, TO = START + pd.Timedelta(days=100), START + pd.Timedelta(days=130)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Daily readings of chargers that fail at rates of their own and are out for one to three days."""
    rng = np.random.default_rng(7)
    readings, failures, repairs = [], [], []
    for number in range(CHARGERS):
        rate, day, out = rng.gamma(0.7, 0.04), 0, 0
        for day in range(DAYS):
            at = START + pd.Timedelta(days=day)
            if not out and rng.random() < rate:
                out = int(rng.integers(1, 4))
                failures.append((f"C{number}", at - pd.Timedelta(hours=16)))
                repairs.append((f"C{number}", at + pd.Timedelta(days=out, hours=-16), "corrective"))
            code = "OUT" if out or rng.random() < rate else ""
            readings.append((f"C{number}", at, "FAULTY" if out else "AVAILABLE", code))
            out = max(out - 1, 0)
    folder = Path(tmp_path_factory.mktemp("history"))
    columns = ["charger_id", "timestamp", "connector_status", "error_codes"]
    for name, rows in (("readings", readings), ("failures", failures), ("maintenance", repairs)):
        names = columns if name == "readings" else ["charger_id", "timestamp", "kind"][: len(rows[0])]
        pd.DataFrame(rows, columns=names).to_parquet(folder / f"{name}.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def scores(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of another program: the version's, with noise, in no order, and none for some readings."""
    file = Path(tmp_path_factory.mktemp("scores")) / "ours.parquet"
    window = ["--from", SINCE.isoformat(), "--to", TO.isoformat()]
    assert main(["score", "--history", str(history), *window, "--out", str(file)]) == 0
    table = pd.read_parquet(file)
    rng = np.random.default_rng(3)
    table["p_7d"] = np.clip(table["p_7d"] * rng.lognormal(0, 1, len(table)), 0, 1)
    table = table[rng.random(len(table)) < 0.9].sample(frac=1, random_state=1)
    table[["charger_id", "timestamp", "p_7d"]].to_csv(file.with_name("theirs.csv"), index=False)
    return file


@pytest.fixture(scope="module")
def report(history: Path, scores: Path) -> Any:
    """The figures of an evaluation with these scores as its baseline."""
    where = ["--history", str(history), "--out", str(scores.parent / "report")]
    window = ["--from", SINCE.isoformat(), "--to", TO.isoformat()]
    assert main(["evaluate", *where, *window, "--baseline", str(scores.with_name("theirs.csv"))]) == 0
    return json.loads((scores.parent / "report" / "report.json").read_text())["horizons"]


@pytest.fixture(scope="module")
def judged(history: Path, scores: Path) -> pd.DataFrame:
    """The judged readings: `y` whether a failure follows within a week, `ours`, `theirs`, `rule`."""
    readings = pd.read_parquet(history / "readings.parquet")
    failures = pd.read_parquet(history / "failures.parquet")
    out = (readings.connector_status == "FAULTY") | (readings.error_codes != "")
    readings["rule"] = (
        out.astype(float).groupby(readings.charger_id).transform(lambda own: own.rolling(30, 1).sum())
    )
    ours = pd.read_parquet(scores).rename(columns={"p_7d": "ours"})
    theirs = pd.read_csv(scores.with_name("theirs.csv")).rename(columns={"p_7d": "theirs"})
    theirs["timestamp"] = pd.to_datetime(theirs["timestamp"]).astype(readings["timestamp"].dtype)
    ours["timestamp"] = ours["timestamp"].astype(readings["timestamp"].dtype)
    rows = readings.merge(ours, on=["charger_id", "timestamp"]).merge(theirs, on=["charger_id", "timestamp"])
    rows = rows[rows.connector_status != "FAULTY"].copy()
    week = pd.Timedelta(days=7)
    onsets = {who: own.timestamp for who, own in failures.groupby("charger_id")}
    rows["y"] = [
        bool(((onsets[who] > at) & (onsets[who] - at <= week)).any()) if who in onsets else False
        for who, at in zip(rows.charger_id, rows.timestamp, strict=True)
    ]
    return rows


def test_the_same_readings_are_judged(report: Any, judged: pd.DataFrame) -> None:
    week = report["7d"]
    assert (week["rows"], week["positives"]) == (len(judged), judged.y.sum())
    assert week["prevalence"] == pytest.approx(judged.y.mean())
    assert judged.timestamp.max() == TO, "failures after the window are known to its end"


@pytest.mark.parametrize(
    ("name", "column"), [(MODEL, "ours"), ("baseline", "theirs"), (COUNTING_RULE, "rule")]
)
def test_ranking_is_that_of_a_plain_computation(
    name: str, column: str, report: Any, judged: pd.DataFrame
) -> None:
    found = report["7d"]["by"][name]
    assert found["pr_auc"][0] == pytest.approx(average_precision_score(judged.y, judged[column]))
    assert found["roc_auc"][0] == pytest.approx(roc_auc_score(judged.y, judged[column]))


@pytest.mark.parametrize(("name", "column"), [(MODEL, "ours"), ("baseline", "theirs")])
def test_calibration_is_that_of_a_plain_computation(
    name: str, column: str, report: Any, judged: pd.DataFrame
) -> None:
    found = report["7d"]["by"][name]
    tenths = judged.groupby(pd.qcut(judged[column], 10, duplicates="drop"), observed=True)
    means, size = tenths[["y", column]].mean(), tenths.size()
    gap = (size / size.sum() * (means.y - means[column]).abs()).sum()
    assert found["ece"][0] == pytest.approx(gap)
    assert found["top_decile"][0] == pytest.approx(means.y.iloc[-1] / means[column].iloc[-1])


def test_a_count_has_no_figures_of_probabilities(report: Any) -> None:
    found = report["7d"]["by"][COUNTING_RULE]
    assert {"ece", "brier", "top_decile"}.isdisjoint(found)
    assert {"pr_auc", "difference", "precision_2%", "recall_2%"} <= set(found)


def test_a_horizon_without_scores_has_no_baseline(report: Any) -> None:
    assert "baseline" in report["7d"]["by"]
    assert "baseline" not in report["1d"]["by"]
    assert report["1d"]["by"][MODEL]["pr_auc"][0] > 0


@pytest.mark.parametrize(("name", "column"), [("baseline", "theirs"), (COUNTING_RULE, "rule")])
def test_the_interval_of_a_difference_is_that_of_resampled_chargers(
    name: str, column: str, report: Any, judged: pd.DataFrame
) -> None:
    """Other draws of the same bootstrap, with each drawn charger's rows copied: nearly the same quantiles."""
    value, low, high = report["7d"]["by"][name]["difference"]
    own = {
        str(who): rows[["y", "ours", column]].to_numpy(float) for who, rows in judged.groupby("charger_id")
    }
    rng, gaps = np.random.default_rng(11), []
    for _ in range(400):
        drawn = np.concatenate([own[who] for who in rng.choice(list(own), len(own))])
        gaps.append(
            average_precision_score(drawn[:, 0], drawn[:, 1])
            - average_precision_score(drawn[:, 0], drawn[:, 2])
        )
    spread = np.std(gaps)
    plain_low, plain_high = np.quantile(gaps, [0.025, 0.975])
    assert low == pytest.approx(plain_low, abs=0.6 * spread)
    assert high == pytest.approx(plain_high, abs=0.6 * spread)
    assert value == pytest.approx(
        average_precision_score(judged.y, judged.ours) - average_precision_score(judged.y, judged[column])
    )
    assert low < value < high


def test_precision_and_recall_at_the_riskiest_chargers_of_each_day(report: Any, judged: pd.DataFrame) -> None:
    top = judged.sort_values(["timestamp", "ours"], ascending=[True, False])
    top = (
        top.groupby("timestamp")
        .head(1)
        .merge(top.groupby("timestamp").size().rename("chargers"), on="timestamp")
    )
    assert (top.chargers.between(30, CHARGERS)).all(), "2 % of them are one charger a day"
    found = report["7d"]["by"][MODEL]
    assert found["precision_2%"][0] == pytest.approx(top.y.mean())
    assert found["recall_2%"][0] == pytest.approx(top.y.sum() / judged.y.sum())


def test_days_are_counted_once_up_to_the_reading_itself(tmp_path: Path) -> None:
    times = [
        "2025-01-01T10:00",
        "2025-01-01T23:00",
        "2025-01-02T01:00",
        "2025-01-02T02:00",
        "2025-01-31T00:00",
    ]
    status = ["FAULTY", "FAULTY", "AVAILABLE", "AVAILABLE", "AVAILABLE"]
    codes = ["", "", "", "X", ""]
    table = pd.DataFrame({"timestamp": times, "connector_status": status, "error_codes": codes})
    both = pd.concat([table.assign(charger_id="A"), table.assign(charger_id="B", error_codes="")])
    both.to_csv(tmp_path / "readings.csv", index=False)
    (tmp_path / "failures.csv").write_text("charger_id,timestamp\n")
    columns = load(tmp_path).columns
    counts = outage_days(columns, np.arange(10)).tolist()
    assert counts == [1, 1, 1, 2, 1, 1, 1, 1, 1, 0]
