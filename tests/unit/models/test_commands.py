"""Commands find out before the work whether its results can be kept, and end in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.__main__ import main
from tests.unit.models.samples import VERSIONS

Said = Callable[[], str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """The one line on standard error since the last call."""

    def take() -> str:
        (line,) = capsys.readouterr().err.splitlines()
        return str(line)

    return take


@pytest.fixture
def occupied(tmp_path: Path) -> Path:
    """A file in the place of a folder: nothing can be written below it, also not by root."""
    file = tmp_path / "file"
    file.write_text("here already")
    return file


def no_work(*_: object, **__: object) -> None:
    raise AssertionError("the work has begun")


@pytest.mark.parametrize("below", ["", "sub/folder"])
@pytest.mark.parametrize(
    ("arguments", "option", "work"),
    [
        (["simulate"], "--out", "models.simulation.simulate.simulate"),
        (["train", "--history", "none"], "--model-dir", "models.training.history.load"),
        (["evaluate"], "--out", "models.evaluation.evaluate_version.evaluate"),
        (["sessions", "--sessions", "a", "--outages", "b"], "--out", "models.simulation.sessions.convert"),
    ],
    ids=["simulate", "train", "evaluate", "sessions"],
)
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    arguments: list[str],
    option: str,
    work: str,
    below: str,
    occupied: Path,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, no_work)
    folder = occupied / below
    assert main([*arguments, option, str(folder)]) == 2
    line = said()
    assert line.startswith(f"models {arguments[0]}: {folder}")
    assert "cannot be written" in line or "is not a folder" in line
    assert occupied.read_text() == "here already"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file/x.parquet", "there is no folder"), ("", "is a folder"), ("none/x.parquet", "there is no folder")],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    name: str,
    reason: str,
    tmp_path: Path,
    occupied: Path,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("models.evaluation.history_scores.score_window", no_work)
    window = ["--from", "2026-01-01", "--to", "2026-02-01"]
    assert main(["score", "--history", "none", *window, "--out", str(tmp_path / name)]) == 2
    assert reason in said()
    assert sorted(tmp_path.iterdir()) == [occupied]


def test_a_folder_is_tried_without_a_trace(
    tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("as far as the work")

    monkeypatch.setattr("models.simulation.simulate.simulate", fail)
    for folder in (tmp_path, tmp_path / "new" / "folder"):
        assert main(["simulate", "--out", str(folder)]) == 1
        assert said() == "models simulate: as far as the work"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "reason"), [("my version", "not the name of a version"), ("simulated-3", "exists already")]
)
@pytest.mark.parametrize("model", ["failure", "anomaly", "all"])
def test_train_checks_the_name_of_the_version_before_it_reads(
    version: str,
    reason: str,
    model: str,
    tmp_path: Path,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("models.training.history.load", no_work)
    versions = shutil.copytree(VERSIONS, tmp_path / "versions")
    where = ["--history", "none", "--model-dir", str(versions), "--version", version, "--model", model]
    assert main(["train", *where]) == 2
    assert reason in said()


def test_ctrl_c_ends_a_command_in_one_line(
    tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("models.simulation.simulate.simulate", interrupted)
    assert main(["simulate", "--out", str(tmp_path)]) == 130
    assert said() == "models simulate: interrupted"


def test_trouble_with_a_file_during_the_work_is_one_line(
    tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "readings.parquet")

    monkeypatch.setattr("models.simulation.simulate.simulate", full)
    assert main(["simulate", "--out", str(tmp_path)]) == 2
    assert said() == "models simulate: readings.parquet: No space left on device"


def test_a_verified_version_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "failure", "--model-dir", str(VERSIONS)]) == 0
    assert capsys.readouterr().out == (
        "failure simulated-3: verified: checksums and reference predictions match\n"
    )


def test_rollback_goes_one_version_back_each_time(
    tmp_path: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = tmp_path / "versions"
    for name in ("one", "two", "three"):
        (versions / "failure" / name).mkdir(parents=True)
        (versions / "failure" / name / "manifest.json").write_text("{}")
    (versions / "failure" / "ACTIVE").write_text("three\n")
    (versions / "failure" / "PREVIOUS").write_text("two\n")
    (versions / "failure" / "EARLIER").write_text("one\n")
    rollback = ["rollback", "failure", "--model-dir", str(versions)]
    for before in ("two", "one"):
        assert main(rollback) == 0
        assert capsys.readouterr().out == f"failure {before} is active\n"
    assert main(rollback) == 1
    assert said() == "models rollback: failure: no version was active before this one"


def test_the_versions_are_those_of_the_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(VERSIONS, tmp_path / "versions")
    (tmp_path / "versions/failure/simulated-3").rename(tmp_path / "versions/failure/of-the-service")
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "versions"))
    assert main(["list"]) == 0
    assert "of-the-service" in capsys.readouterr().out


def test_a_folder_of_versions_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: Said
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "nowhere"))
    assert main(["list"]) == 2
    assert said() == f"models list: {tmp_path / 'nowhere'} is not a folder"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (
            ["simulate", "--out", "fleet", "--chargers", "many"],
            "--chargers: must be a whole number of at least 1",
        ),
        (["simulate", "--out", "fleet", "--days", "0"], "--days: must be a whole number of at least 1"),
        (["robustness", "--seeds", "1,two"], "--seeds: must be whole numbers, like 1,2,3"),
    ],
)
def test_a_wrong_number_is_refused_in_words(
    arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert f"argument {wanted}, not " in capsys.readouterr().err
