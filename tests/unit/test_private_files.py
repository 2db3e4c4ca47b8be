"""Files and folders for their owner alone, whatever the umask is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from private_files import make_folder, opener, tighten, tighten_all


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_folders_and_files_are_their_owners_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    with open(tmp_path / "a" / "b" / "file", "ab", opener=opener):
        pass
    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b")] == [0o700, 0o700]
    assert mode(tmp_path / "a" / "b" / "file") == 0o600


def test_a_folder_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(0o755)
    make_folder(shared)
    assert mode(shared) == 0o755


@pytest.mark.parametrize(("below", "error"), [("file", FileExistsError), ("file/more", NotADirectoryError)])
def test_a_file_in_the_way_is_an_error(tmp_path: Path, below: str, error: type[OSError]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(error):
        make_folder(tmp_path / below)


def test_wide_modes_are_tightened_and_links_are_not_followed(tmp_path: Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    (ours / "below").mkdir(parents=True)
    script = ours / "below" / "script"
    script.touch(0o755)
    others.touch(0o644)
    (ours / "link").symlink_to(others)
    tighten_all(ours)
    assert [mode(ours), mode(ours / "below"), mode(script)] == [0o700, 0o700, 0o700]
    tighten(ours / "link")
    tighten(tmp_path / "missing")
    assert mode(others) == 0o644
