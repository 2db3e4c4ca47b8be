"""Damaged histories end a command in one line with file, row and column and exit status 2, or are read."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from models.__main__ import main
from tests.unit.models.damage import START, Answer, tables, write
from tests.unit.models.damages import DAMAGES

NAMES = list(DAMAGES)
STEP = re.compile(r"\d\d:\d\d:\d\d \w+: ")  # a line of progress
WINDOW = ("--from", (START + pd.Timedelta(days=10)).isoformat(), "--to", "2026-12-01")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("healthy"))
    for name, table in tables().items():
        write(folder, name, table)
    return folder


def arguments(command: str, folder: Path, out: Path, options: tuple[str, ...] = ()) -> list[str]:
    where = [command, "--history", str(folder), *options]
    if command == "train":
        return [*where, "--model-dir", str(out / "versions"), "--version", "new"]
    return [*where, *WINDOW, "--out", str(out / ("scores.parquet" if command == "score" else "report"))]


def check(command: str, status: int, said: str, answer: Answer) -> None:
    """One line, and the right one."""
    lines = [line for line in said.splitlines() if not STEP.match(line)]
    assert "Traceback" not in said
    if status == 0:
        assert answer.accepted is not False, "was accepted"
        assert lines == []
        return
    assert status == 2, said
    assert not answer.accepted, said
    assert len(lines) == 1, said
    assert lines[0].startswith(f"models {command}: ")
    assert len(lines[0]) < 500, said
    for word in answer.words:
        assert word in lines[0]


def test_there_are_enough_damages() -> None:
    assert len(NAMES) >= 200


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_history_is_one_line(
    name: str, healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "history"
    shutil.copytree(healthy, folder)
    answer = DAMAGES[name](folder, random.Random(name))
    status = main(arguments("score", folder, tmp_path, answer.options))
    check("score", status, capsys.readouterr().err, answer)
    if status == 0:
        return
    assert not (tmp_path / "scores.parquet").exists()
    for command in ("train", "evaluate"):
        assert main(arguments(command, folder, tmp_path, answer.options)) == 2
        check(command, 2, capsys.readouterr().err, answer)
    assert not list(tmp_path.glob("versions/*/*"))


@pytest.mark.parametrize(
    "name",
    [
        "one reading",
        "one charger",
        "all at one moment",
        "all FAULTY",
        "readings twice",
        "time zones",
        "no failures",
        "a failure a day",
        "failures long ago",
        "failures to come",
        "one charger that fails often",
        "two chargers, one fails",
    ],
)
def test_an_odd_history_trains_and_is_judged_or_is_refused(
    name: str, healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "history"
    shutil.copytree(healthy, folder)
    answer = DAMAGES[name](folder, random.Random(name))
    either = Answer(None, (str(folder),), answer.options)
    for command in ("train", "evaluate"):
        status = main(arguments(command, folder, tmp_path, answer.options))
        check(command, status, capsys.readouterr().err, either)
    assert (tmp_path / "report" / "report.json").exists() == (status == 0)


@pytest.mark.parametrize(
    "write_it",
    [
        lambda file: file.write_text('{"simulated": tr'),
        lambda file: file.write_text("[1, 2]"),
        lambda file: file.write_text('{"description": 5}'),
        lambda file: file.mkdir(),
    ],
    ids=["cut", "a list", "a number", "a folder"],
)
def test_a_damaged_description_is_one_line(
    write_it: Callable[[Path], object], healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "history"
    shutil.copytree(healthy, folder)
    write_it(folder / "about.json")
    for command in ("train", "evaluate"):
        status = main(arguments(command, folder, tmp_path))
        check(command, status, capsys.readouterr().err, Answer(False, (str(folder / "about.json"),)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--until", "2025-12-31"), ("history: 0 readings",)),
        (("--until", "0001-01-01"), ("history: 0 readings",)),
        (("--until", "2026-01-02T23:00"), ("history: 24 readings",)),
    ],
)
def test_a_date_before_which_there_is_too_little_is_one_line(
    options: tuple[str, ...],
    words: tuple[str, ...],
    healthy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copied = shutil.copytree(healthy, tmp_path / "history")
    status = main(arguments("train", copied, tmp_path, options))
    check("train", status, capsys.readouterr().err, Answer(False, words))


@pytest.mark.parametrize("command", ["score", "evaluate"])
@pytest.mark.parametrize(
    ("since", "to", "word"),
    [
        ("2026-02-01", "2026-01-01", "is before --from"),
        ("2027-02-01", "2027-03-01", "history"),
        ("2025-02-01", "2025-03-01", "history"),
    ],
    ids=["backwards", "after", "before"],
)
def test_a_window_without_readings_is_one_line(
    command: str,
    since: str,
    to: str,
    word: str,
    healthy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copied = shutil.copytree(healthy, tmp_path / "history")
    where = [command, "--history", str(copied), "--from", since, "--to", to, "--out", str(tmp_path / "out")]
    check(command, main(where), capsys.readouterr().err, Answer(False, (word,)))


SCORES: dict[str, list[object]] = {
    "charger_id": ["C-000"],
    "timestamp": ["2026-01-20T22:00:00Z"],
    "p_7d": [0.5],
}


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (None, ("scores.csv: there is no such file",)),
        ({}, ("scores.csv: cannot be read",)),
        ({**SCORES, "p_7d": ["high"]}, ("scores.csv, row 2, column p_7d: 'high' is no number",)),
        ({**SCORES, "p_7d": ["inf"]}, ("scores.csv, row 2, column p_7d: inf is not finite",)),
        ({**SCORES, "timestamp": ["soon"]}, ("scores.csv, row 2, column timestamp: 'soon' is no ISO",)),
        ({**SCORES, "charger_id": [None]}, ("scores.csv, row 2, column charger_id", "is missing")),
        ({name: [*one, *one] for name, one in SCORES.items()}, ("row 3, column timestamp", "earlier row")),
        ({name: SCORES[name] for name in ("charger_id", "timestamp")}, ("no column p_1d, p_7d, p_30d",)),
        ({name: SCORES[name] for name in ("charger_id", "p_7d")}, ("no column timestamp",)),
        ({**SCORES, "charger_id": ["other"]}, ("no reading in the window has scores of the baseline",)),
        ({**SCORES, "p_7d": [None]}, ("no reading in the window has scores of the baseline",)),
    ],
)
def test_a_damaged_baseline_is_one_line(
    scores: dict[str, list[object]] | None,
    words: tuple[str, ...],
    healthy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "scores.csv"
    if scores is not None:
        pd.DataFrame(scores).to_csv(file, index=False)
    status = main(arguments("evaluate", healthy, tmp_path, ("--baseline", str(file))))
    check("evaluate", status, capsys.readouterr().err, Answer(False, words))


@pytest.mark.parametrize("command", ["score", "train", "evaluate"])
def test_a_process_says_one_line_and_warns_of_nothing(command: str, healthy: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(healthy, tmp_path / "history"))
    answer = DAMAGES["readings cut to 0.9"](folder, random.Random(1))
    done = subprocess.run(
        [sys.executable, "-m", "models", *arguments(command, folder, tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    check(command, done.returncode, done.stderr, answer)
    assert done.stdout == ""
