"""The service answers as recorded, but for what is listed in changed.json."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from settings import ROOT
from tests.golden import files
from tests.golden.compare import ABSENT, Change, differences, overlaid, report

AREAS = ("http", "redis", "kafka", "messages", "metrics", "commands")
RECORD_TIMEOUT_S = 600
HELP = "If it is meant: `python -m tests.golden changes` prints the entries for tests/golden/changed.json."


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the present code does, recorded in a process of its own."""
    folder = tmp_path_factory.mktemp("golden")
    command = [sys.executable, "-m", "tests.golden", "record", "--into", str(folder)]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RECORD_TIMEOUT_S, check=False
    )
    assert ran.returncode == 0, ran.stderr[-6000:]
    return folder


@pytest.mark.timeout(RECORD_TIMEOUT_S + 30)
@pytest.mark.parametrize("area", AREAS)
def test_behaviour_is_as_recorded(present: Path, area: str) -> None:
    meant = [change for change in files.changes() if change.area == area]
    found = list(differences(overlaid(files.read(area), meant), files.read(area, present)))
    assert not found, f"{report(area, found)}\n{HELP}"


@pytest.mark.timeout(RECORD_TIMEOUT_S + 30)
def test_texts_for_people_are_as_recorded(present: Path) -> None:
    """Apart from the rest, for texts may be worded anew: `python -m tests.golden prose` records them."""
    recorded, now = files.read(files.PROSE), files.read(files.PROSE, present)
    meant = [change for change in files.changes() if change.area == files.PROSE]
    found = list(differences(overlaid(recorded, meant), now))
    assert not found, f"{report('prose', found)}\nIf it is meant: python -m tests.golden prose"


def test_every_change_has_a_reason() -> None:
    for change in files.changes():
        assert change.area in (*AREAS, files.PROSE), change
        assert change.because, f"{change.path}: changed.json gives no reason"


RECORDED: dict[str, Any] = {"a": {"status": 200, "body": {"p": 0.5, "list": [1, 2]}}, "b": {"status": 404}}


@pytest.mark.parametrize(
    ("path", "now"),
    [
        ("/a/status", 201),
        ("/a/body/p", 0.50001),
        ("/a/body/list/1", 3),
        ("/a/body/list/2", 3),
        ("/a/body/list/0", ABSENT),
        ("/a/body/new", None),
        ("/b", ABSENT),
        ("/*/status", 500),
        ("/*/headers", {"x": "y"}),
    ],
)
def test_a_difference_is_found_and_a_listed_change_explains_it(path: str, now: Any) -> None:
    changed = overlaid(RECORDED, [Change("http", path, now, "a reason")])
    assert list(differences(RECORDED, changed))
    assert not list(differences(changed, overlaid(RECORDED, [Change("http", path, now, "a reason")])))


def test_numbers_and_the_times_computed_from_them_may_differ_a_little() -> None:
    recorded = {"p": 0.806738, "at": "2024-03-09T03:36:50.878Z", "n": 1}
    assert not list(differences(recorded, {"p": 0.8067381, "at": "2024-03-09T03:36:51.001Z", "n": 1.0}))
    for name, value in (("p", 0.80674), ("at", "2024-03-09T03:36:50Z"), ("n", True)):
        assert [each.path for each in differences(recorded, {**recorded, name: value})] == [f"/{name}"]


def test_a_listed_change_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="changes nothing"):
        overlaid(RECORDED, [Change("http", "/a/status", 200, "a reason")])
