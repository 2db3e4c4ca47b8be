"""The version before serves where the active one cannot, and says why; the mended one takes its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from errors import ModelRefused
from models import fallback, registry
from models.scorer import Scorer
from settings import Costs
from tests.unit.models.samples import VERSIONS
from tests.versions import copy_version, damage

CHANGED = "is not what the manifest says"


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """`second` is active, and the committed version was before."""
    folder = Path(shutil.copytree(VERSIONS, tmp_path / "versions"))
    copy_version(folder / "failure", "second")
    registry.activate(folder, "failure", "second")
    return folder


@pytest.fixture
def first(model_dir: Path) -> str:
    return registry.previous_version(model_dir, "failure")


def test_the_active_versions_are_loaded_while_they_are_well(model_dir: Path, costs: Costs) -> None:
    scorer = fallback.load(model_dir, costs, None)
    assert (scorer.versions["failure"], scorer.refused) == ("second", [])
    assert scorer.is_active(model_dir)


@pytest.mark.parametrize("wrong", ["damaged", "gone", "pointer gone"])
def test_the_version_before_serves_in_place_of_one_that_cannot(
    model_dir: Path, costs: Costs, first: str, wrong: str
) -> None:
    kept = model_dir.parent / "kept"
    shutil.copytree(model_dir, kept)
    if wrong == "damaged":
        damage(model_dir / "failure" / "second")
    elif wrong == "gone":
        shutil.rmtree(model_dir / "failure" / "second")
    else:
        (model_dir / "failure" / "ACTIVE").unlink()
    scorer = fallback.load(model_dir, costs, None)
    assert scorer.versions["failure"] == first
    (refused,) = scorer.refused
    assert refused.version == (None if wrong == "pointer gone" else "second")
    told = {each["name"]: each["refused"] for each in scorer.info()}
    assert told["anomaly"] is None
    assert told["failure"] == told["maintenance"] == {"version": refused.version, "problem": refused.problem}
    assert not scorer.is_active(model_dir), "so that it is tried again"
    shutil.copytree(kept, model_dir, dirs_exist_ok=True)
    mended = fallback.load(model_dir, costs, scorer)
    assert (mended.versions["failure"], mended.refused) == ("second", [])
    assert mended.parts["anomaly"].model is scorer.parts["anomaly"].model, "what has not changed stays"


@pytest.mark.owasp("API10", "a damaged previous version does not serve in place of the active one")
def test_without_a_good_version_before_there_is_none(model_dir: Path, costs: Costs, first: str) -> None:
    damage(model_dir / "failure" / "second")
    damage(model_dir / "failure" / first)
    with pytest.raises(ModelRefused, match=rf"failure second: .*{CHANGED}.*; failure {first}: .*{CHANGED}"):
        fallback.load(model_dir, costs, None)
    shutil.rmtree(model_dir / "failure" / first)
    with pytest.raises(ModelRefused, match="no version was active before"):
        fallback.load(model_dir, costs, None)


def test_the_version_in_memory_goes_on_rather_than_the_one_before(model_dir: Path, costs: Costs) -> None:
    held = Scorer.load(model_dir, costs)
    damage(model_dir / "failure" / "second")
    scorer = fallback.load(model_dir, costs, held)
    assert scorer.versions["failure"] == "second"
    assert CHANGED in scorer.refused[0].problem


def test_a_damaged_model_does_not_keep_another_one_from_its_new_version(
    model_dir: Path, costs: Costs
) -> None:
    damage(model_dir / "failure" / "second")
    held = fallback.load(model_dir, costs, None)
    copy_version(model_dir / "anomaly", "new")
    registry.activate(model_dir, "anomaly", "new")
    scorer = fallback.load(model_dir, costs, held)
    assert scorer.versions["anomaly"] == "new"
    assert scorer.versions["failure"] == held.versions["failure"]
    assert [refused.version for refused in scorer.refused] == ["second"]


def test_a_rollback_to_the_version_that_serves_ends_the_refusal(
    model_dir: Path, costs: Costs, first: str
) -> None:
    damage(model_dir / "failure" / "second")
    held = fallback.load(model_dir, costs, None)
    registry.rollback(model_dir, "failure")
    scorer = fallback.load(model_dir, costs, held)
    assert (scorer.versions["failure"], scorer.refused) == (first, [])
    assert scorer.is_active(model_dir)
