"""From a history to a served version and back, on a small fleet."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models import registry
from models.__main__ import main
from models.alert_threshold import Evidence
from models.costs import CostPolicy
from models.failure import has_history
from models.monitoring.drift_report import LENGTH_OF_PAST, Baseline
from models.scorer import Scorer, failure_model
from models.simulation.simulate import simulate
from settings import Costs

# A version is trained first: over two minutes where others want the processors too.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("history"))
    simulate(60, 120, 5).write(folder)
    return folder


@pytest.fixture(scope="module")
def model_dir(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("versions"))
    arguments = ["train", "--history", str(history), "--until", "2025-04-01", "--model-dir", str(folder)]
    assert main([*arguments, "--version", "one", "--activate"]) == 0
    return folder


def test_a_trained_version_serves(model_dir: Path, costs: Costs) -> None:
    scorer = Scorer.load(model_dir, costs)
    policy = CostPolicy(costs, 0.1).version
    assert scorer.versions == {"failure": "one", "maintenance": f"{policy}+one", "anomaly": "one"}
    (failure, _, _) = scorer.info()
    assert failure["horizons"] == ["1d", "7d", "30d"]
    model = failure_model(registry.load(model_dir, "failure", "one"))
    frame = np.random.default_rng(5).normal(20, 30, (60, len(model.spec.names))).astype(np.float32)
    frame[::2, model.spec.first_history :] = np.nan  # without history
    raw = model.raw(frame)
    base = np.where(has_history(frame, model.spec), *model.mean_log_odds)
    assert model.shap is not None
    # The version has begun from the shipped one. The mean of that one includes rows without history.
    np.testing.assert_allclose(model.credits(frame, raw).sum(axis=1), raw[:, 2] - base, atol=0.01)
    for command in ("list", "show", "verify"):
        target = [] if command == "list" else ["failure"]
        assert main([command, *target, "--model-dir", str(model_dir)]) == 0


def test_a_version_carries_the_evidence_for_alert_thresholds(model_dir: Path) -> None:
    raw = registry.load(model_dir, "failure", "one").manifest["alert_evidence"]
    known = Evidence.from_manifest(raw)
    assert known.fleet == 60
    assert 20 <= known.chargers <= 30  # the calibration has the others
    assert known.alerting[-1] == known.chargers  # nearly every reading has 1 % or more
    assert 0 < known.failed[-1] < known.alerting[-1]


def test_both_models_state_what_they_were_trained_on(model_dir: Path) -> None:
    for name in registry.NAMES:
        baseline = Baseline.of(registry.load(model_dir, name, "one").manifest)
        assert baseline is not None
        assert {"temperature_c", LENGTH_OF_PAST} <= set(baseline.names)
        assert baseline.training[0].shares.sum() == pytest.approx(1, abs=1e-3)
        assert not baseline.seasonal  # three months are no year
    assert Baseline.of({"features": {}}) is None


def test_a_shadow_is_verified_set_and_cleared(model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--model-dir", str(model_dir)]
    assert main(["shadow", *where, "failure", "one"]) == 1  # it is the active one
    assert "active version" in capsys.readouterr().err
    copied = shutil.copytree(model_dir / "failure" / "one", model_dir / "failure" / "two")
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(manifest | {"version": "two"}))
    assert main(["shadow", *where, "failure", "two"]) == 0
    assert main(["list", *where]) == 0
    assert "two                     shadow" in capsys.readouterr().out
    assert main(["shadow", *where, "failure", "--clear"]) == 0
    (copied / "model.onnx").write_bytes(b"")
    assert main(["shadow", *where, "failure", "two"]) == 1
    assert registry.shadow_version(model_dir, "failure") is None


def scores(history: Path, model_dir: Path, out: Path) -> pd.DataFrame:
    window = ["--from", "2025-04-02", "--to", "2025-04-20"]
    where = ["--history", str(history), "--model-dir", str(model_dir), "--out", str(out)]
    assert main(["score", *where, *window]) == 0
    return pd.read_parquet(out)


def test_scores_of_a_window(history: Path, model_dir: Path, tmp_path: Path) -> None:
    table = scores(history, model_dir, tmp_path / "scores.parquet")
    assert list(table.columns) == ["charger_id", "timestamp", "p_1d", "p_7d", "p_30d"]
    assert (
        table["timestamp"].between(datetime(2025, 4, 2, tzinfo=UTC), datetime(2025, 4, 20, tzinfo=UTC)).all()
    )
    assert len(table) == 60 * 36
    assert ((table["p_1d"] <= table["p_7d"]) & (table["p_7d"] <= table["p_30d"])).all()


def test_scores_do_not_see_the_future(history: Path, model_dir: Path, tmp_path: Path) -> None:
    before = scores(history, model_dir, tmp_path / "before.parquet")
    changed = tmp_path / "changed"
    changed.mkdir()
    readings = pd.read_parquet(history / "readings.parquet")
    later = readings["timestamp"] > datetime(2025, 4, 10, tzinfo=UTC)
    readings.loc[later, "temperature"] = 99.0
    readings.to_parquet(changed / "readings.parquet", index=False)
    failures = pd.read_parquet(history / "failures.parquet")
    failures[failures["timestamp"] < datetime(2025, 4, 10, tzinfo=UTC)].to_parquet(
        changed / "failures.parquet"
    )
    pd.read_parquet(history / "maintenance.parquet").to_parquet(changed / "maintenance.parquet")
    after = scores(changed, model_dir, tmp_path / "after.parquet")
    known = before["timestamp"] <= datetime(2025, 4, 10, tzinfo=UTC)
    pd.testing.assert_frame_equal(before[known], after[known])
    assert not before[~known].equals(after[~known])


def test_a_report_of_a_window(history: Path, model_dir: Path, tmp_path: Path) -> None:
    where = ["--history", str(history), "--model-dir", str(model_dir), "--out", str(tmp_path)]
    assert main(["evaluate", *where, "--from", "2025-04-02"]) == 0
    markdown = (tmp_path / "report.md").read_text()
    assert "in-sample" not in markdown
    assert "- training period: 2025-01-01T" in markdown
    for expected in (
        "Failure within 7d",
        "PR-AUC",
        "error-count rule",
        "logistic regression",
        "Worst chargers",
    ):
        assert expected in markdown
    assert "nan" not in markdown.lower().replace("maintenance", "")
    assert (tmp_path / "report.html").read_text().count("<img ") == 6


def test_a_window_that_the_version_was_trained_on_is_refused_unless_asked_for(
    history: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--history", str(history), "--model-dir", str(model_dir), "--out", str(tmp_path / "report")]
    window = ["--from", "2025-03-15"]
    assert main(["evaluate", *where, *window]) == 2
    (line,) = (one for one in capsys.readouterr().err.splitlines() if one.startswith("models evaluate"))
    assert "was trained on 2025-01-01T" in line
    assert "add --in-sample" in line
    assert not (tmp_path / "report").exists()
    assert main(["evaluate", *where, *window, "--in-sample"]) == 0
    title, _, first, *_ = (tmp_path / "report" / "report.md").read_text().splitlines()
    assert title == "# Evaluation"
    assert first.startswith("- in-sample: the version was trained on 2025-01-01T")
    about = json.loads((tmp_path / "report" / "report.json").read_text())["about"]
    assert next(iter(about)) == "in-sample"


def test_devices_that_are_no_chargers(tmp_path: Path) -> None:
    """Daily counters of 150 devices under other names, no status, no power: trained and scored alike."""
    rng = np.random.default_rng(0)
    parts, failed = [], []
    days = pd.date_range("2025-01-01", periods=200, freq="D")
    for number in range(150):
        life = int(rng.integers(60, 200)) if rng.random() < 0.4 else 200
        errors = np.zeros(life)
        if life < 200:
            errors[-20:] = np.cumsum(rng.poisson(1.0, 20))
            failed.append((f"D{number}", days[life - 1]))
        hours = 1000.0 * number + 24 * np.arange(life)
        parts.append(
            pd.DataFrame({"serial": f"D{number}", "date": days[:life], "on_hours": hours, "errors": errors})
        )
    pd.concat(parts).to_csv(tmp_path / "readings.csv", index=False)
    pd.DataFrame(failed, columns=["serial", "date"]).to_csv(tmp_path / "failures.csv", index=False)
    mapping = ["charger_id=serial", "timestamp=date", "uptime_hours=on_hours", "error_codes=errors"]
    options = [part for one in mapping for part in ("--map", one)]
    common = ["--history", str(tmp_path), "--model-dir", str(tmp_path / "versions"), *options]
    assert main(["train", *common, "--model", "failure", "--version", "d", "--activate"]) == 0
    out = tmp_path / "scores.parquet"
    window = ["--from", "2025-06-01", "--to", "2025-07-01"]
    assert main(["score", *common, "--out", str(out), *window]) == 0
    table = pd.read_parquet(out)
    onset = table["charger_id"].map(dict(failed))
    ahead = (onset - table["timestamp"].dt.tz_localize(None)).dt.days
    assert table.loc[ahead.between(1, 7), "p_7d"].mean() > 4 * table.loc[~ahead.between(0, 30), "p_7d"].mean()


def test_nothing_to_learn_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(5, 20, 1).write(tmp_path)
    one = pd.read_parquet(tmp_path / "readings.parquet")["charger_id"].iloc[0]
    pd.DataFrame({"charger_id": [one], "timestamp": ["2025-01-05"]}).to_csv(tmp_path / "failures.csv")
    (tmp_path / "failures.parquet").unlink()
    assert main(["train", "--history", str(tmp_path), "--model-dir", str(tmp_path / "v")]) == 2
    assert "too few to learn from" in capsys.readouterr().err
    assert main(["train", "--history", str(tmp_path / "none"), "--model-dir", str(tmp_path / "v")]) == 2
    assert f"{tmp_path / 'none'}: is not a folder" in capsys.readouterr().err
