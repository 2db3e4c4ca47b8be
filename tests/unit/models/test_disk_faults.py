"""A full disk, and files that change under a running process: the old version stays."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from errors import ModelRefused
from models import registry
from models.__main__ import main
from models.scorer import Scorer
from settings import Costs
from tests.unit.models.samples import VERSIONS
from tests.versions import copy_version, damage


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(VERSIONS, tmp_path / "versions"))
    copy_version(folder / "failure", "second")
    return folder


def test_a_disk_that_is_full_leaves_the_pointers_and_no_other_file(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sorted(model_dir.rglob("*")), registry.active_version(model_dir, "failure")
    monkeypatch.setattr(os, "fsync", full)
    assert main(["activate", "failure", "second", "--model-dir", str(model_dir)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert (sorted(model_dir.rglob("*")), registry.active_version(model_dir, "failure")) == before


def test_a_file_that_changes_under_a_scorer_makes_it_load_again(model_dir: Path, costs: Costs) -> None:
    scorer = Scorer.load(model_dir, costs)
    assert scorer.is_active(model_dir)
    damage(model_dir / "failure" / scorer.versions["failure"])
    assert not scorer.is_active(model_dir)
    with pytest.raises(ModelRefused, match="is not what the manifest says"):
        Scorer.load(model_dir, costs)


def test_a_folder_that_is_gone_makes_it_load_again(model_dir: Path, costs: Costs) -> None:
    scorer = Scorer.load(model_dir, costs)
    shutil.rmtree(model_dir / "failure" / scorer.versions["failure"])
    assert not scorer.is_active(model_dir)
    with pytest.raises(ModelRefused, match="no such version"):
        Scorer.load(model_dir, costs)


@pytest.mark.owasp("API10", "a pointer of random bytes is refused like any other wrong name")
def test_a_pointer_that_is_no_text_is_refused(model_dir: Path, costs: Costs) -> None:
    (model_dir / "failure" / "ACTIVE").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelRefused, match="not the name of a version"):
        Scorer.load(model_dir, costs)
    registry.activate(model_dir, "failure", "second")
    assert registry.active_version(model_dir, "failure") == "second"
