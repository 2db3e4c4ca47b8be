"""A version that begins from another one: one graph gives the sum of both, by shares that follow evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from errors import ModelRefused, UnknownModel
from models import registry
from models.__main__ import SHIPPED, main
from models.failure import has_history
from models.features.columns import Floats
from models.features.frame import compute
from models.scorer import failure_model
from models.simulation.simulate import simulate
from models.training import base_version, boosting, cross_validation, onnx_trees, train_failure
from models.training.base_version import SHIPPED_VERSIONS, BaseVersion
from models.training.cross_validation import OutOfFold
from models.training.history import History, load
from models.training.labels import Labels
from models.training.sampling import Rows

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet with a code that the shipped version does not know, and 27 days of readings."""
    path = Path(tmp_path_factory.mktemp("history"))
    simulate(250, 27, 5).write(path)
    readings = pd.read_parquet(path / "readings.parquet")
    readings.loc[readings.index % 5 == 0, "error_codes"] = "OWN-CODE"
    readings.to_parquet(path / "readings.parquet")
    return path


@pytest.fixture(scope="module")
def base() -> BaseVersion:
    return BaseVersion.load(SHIPPED_VERSIONS, SHIPPED)


@pytest.fixture(scope="module")
def versions(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`own` without a base, `begun` from the shipped version; few trees."""
    path = Path(tmp_path_factory.mktemp("versions"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "TREES", 12)
        patch.setattr(cross_validation, "MIN_TREES", 4)
        patch.setattr(cross_validation, "BLOCKS", 3)
        common = ["train", "--history", str(folder), "--model", "failure", "--model-dir", str(path)]
        assert main([*common, "--version", "own", "--from-version", "none"]) == 0
        assert main([*common, "--version", "begun"]) == 0
    return path


def history_of(folder: Path, base: BaseVersion) -> History:
    return load(folder, named=base.model.spec.vocabulary)


def test_the_manifest_says_what_it_began_from(versions: Path) -> None:
    assert registry.load(versions, "failure", "own").manifest["from_version"] is None
    begun = registry.load(versions, "failure", "begun").manifest["from_version"]
    assert begun["version"] == SHIPPED
    assert begun["base_share"]["with_history"]["7d"] > 0.1  # the fleet is of the world the base knows


def test_many_failures_need_no_base(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "TREES", 4)
    monkeypatch.setattr(cross_validation, "MIN_TREES", 2)
    monkeypatch.setattr(train_failure, "FEW_FAILURES", 1)
    where = ["--history", str(folder), "--model", "failure", "--model-dir", str(tmp_path)]
    assert main(["train", *where, "--version", "many"]) == 0
    assert registry.load(tmp_path, "failure", "many").manifest["from_version"] is None


def test_the_code_columns_of_both_are_named(versions: Path, base: BaseVersion) -> None:
    own, begun = (failure_model(registry.load(versions, "failure", one)).spec for one in ("own", "begun"))
    assert "OWN-CODE" in own.vocabulary
    assert set(begun.vocabulary) == {*own.vocabulary, *base.model.spec.vocabulary}


def test_one_graph_gives_the_sum_of_both(folder: Path, versions: Path, base: BaseVersion) -> None:
    """Minus the base, the graph gives own trees alone: the same number for rows of equal leaves."""
    model = failure_model(registry.load(versions, "failure", "begun"))
    history = load(folder, spec=model.spec)
    rows = np.arange(0, len(history.columns), 7)
    frame = compute(history.columns, model.spec, rows)
    share = registry.load(versions, "failure", "begun").manifest["from_version"]["base_share"]
    known = has_history(frame, model.spec)
    theirs = base.raw(frame, model.spec)
    for output, horizon in enumerate(("1d", "7d", "7d")):  # 30 days are carried from 7
        factor = np.where(known, share["with_history"][horizon], share["without_history"][horizon])
        own = model.raw(frame)[:, output] - factor * theirs[:, ("1d", "7d").index(horizon)]
        # A dozen own trees of few leaves: few distinct sums, though each row has its own base score.
        assert len(np.unique(own.round(3))) < len(np.unique(theirs[:, 0].round(3))) / 2


def test_reasons_are_those_of_both(folder: Path, versions: Path) -> None:
    model = failure_model(registry.load(versions, "failure", "begun"))
    history = load(folder, spec=model.spec)
    frame = compute(history.columns, model.spec, np.arange(0, len(history.columns), 50))
    raw = model.raw(frame)
    base = np.where(has_history(frame, model.spec), *model.mean_log_odds)
    assert model.shap is not None
    # The base's mean is that of all sampled rows, and the covers are of some of them.
    np.testing.assert_allclose(model.credits(frame, raw).sum(axis=1), raw[:, 2] - base, atol=0.02)


def test_base_features_are_those_that_the_base_computes(folder: Path, base: BaseVersion) -> None:
    history = history_of(folder, base)
    theirs = load(folder, spec=base.model.spec)
    rows = np.arange(0, len(history.columns), 50)
    frame = compute(history.columns, history.spec, rows)
    np.testing.assert_array_equal(
        frame[:, base.features(history.spec)], compute(theirs.columns, base.model.spec, rows)
    )


def test_trees_are_read_as_they_were_written(base: BaseVersion) -> None:
    trees = onnx_trees.trees_of(base.graph, base.model.spec.first_history)
    width, count = len(base.model.spec.names), len(base.model.horizons)
    moves = onnx_trees.Moves(np.arange(width), range(count), np.ones((2, count)))
    assert [onnx_trees.moved(tree, moves) for tree in trees] == trees


def test_a_graph_of_another_kind_is_refused(base: BaseVersion) -> None:
    with pytest.raises(ModelRefused, match="begin with the history"):
        onnx_trees.trees_of(base.graph, 0)
    forest = registry.load(SHIPPED_VERSIONS, "anomaly", registry.active_version(SHIPPED_VERSIONS, "anomaly"))
    with pytest.raises(ModelRefused, match="not one of trees"):
        onnx_trees.trees_of(forest.files["model.onnx"], 0)


def out_of_fold(own: Floats, label: Labels, base: BaseVersion) -> OutOfFold:
    n = len(own)
    rng = np.random.default_rng(3)
    frame = rng.normal(size=(n, len(base.model.spec.names))).astype(np.float32)
    rows = Rows(
        index=np.arange(n),
        weight=np.ones(n),
        labels=(label,),
        frame=frame,
        train_frame=frame,
        time_s=np.arange(n, dtype=np.float64) * 3600,
        charger=np.arange(n) % 50,
        next_failure_s=np.arange(n, dtype=np.float64) * 3600 + 60,
        known_days=np.where(label == 1, 0.5, 100.0),
        failed=label == 1,
    )
    return OutOfFold(rows, own[:, None], own[:, None], ((1,), (1,)))


def test_shares_follow_the_evidence(base: BaseVersion) -> None:
    rng = np.random.default_rng(4)
    n = 4_000
    everything = np.ones(n, np.bool_)
    blank = out_of_fold(np.zeros(n), np.zeros(n, np.int8), base)
    spec = base.model.spec
    theirs = base.raw(blank.rows.frame, spec)[:, 0].astype(np.float64)
    theirs = (theirs - theirs.mean()) / theirs.std()
    noise = rng.normal(size=n)

    def base_share(odds: Floats) -> float:
        label = (rng.random(n) < 1 / (1 + np.exp(2 - odds))).astype(np.int8)
        judged = out_of_fold(noise, label, base)
        return float(base_version.corrected(judged, base, spec, everything)[1].base[0, 0])

    assert base_share(2 * theirs) > 0.5  # the base alone tells
    assert base_share(2 * noise) < 0.3  # own trees alone tell
    _, shares = base_version.corrected(blank, base, spec, everything)
    assert shares.base[0, 0] == shares.own[0, 0] == 0.5  # no failure, no evidence


def test_a_version_that_does_not_exist(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UnknownModel):
        base_version.find(tmp_path, "absent")
    arguments = ["train", "--history", str(folder), "--model-dir", str(tmp_path)]
    assert main([*arguments, "--from-version", "absent"]) == 1


def test_a_base_that_has_seen_the_same_fleet_is_refused(
    versions: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its shares would be fitted on readings that it was trained on."""
    arguments = ["train", "--history", str(folder), "--model", "failure", "--model-dir", str(versions)]
    assert main([*arguments, "--version", "again", "--from-version", "own"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("models train: --from-version own was trained on")
