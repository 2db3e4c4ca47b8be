from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import checkouts
from bench.checkouts import CheckoutFailed, checkout, described, here

# It leaves a trace of each call where an installer makes .venv, and fails where the lock says so.
INSTALLER = """
import os, sys
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if "broken" in open(os.path.join(root, sys.argv[1])).read():
    sys.exit(1)
with open(os.path.join(root, "installed"), "a") as file:
    file.write(os.environ.get("PYTHONPATH", "") + sys.executable + "\\n")
"""


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits: the tag `old` says so in `word`, and its successor says otherwise."""
    root = tmp_path / "repository"
    (root / "stack").mkdir(parents=True)
    git(root, "init", "--quiet")
    (root / ".gitignore").write_text("build/\ninstalled\n")
    (root / "stack" / "install.py").write_text(INSTALLER)
    (root / "requirements.txt").write_text("")
    for word in ("old", "new"):
        (root / "word").write_text(word)
        git(root, "add", ".")
        git(root, "commit", "--quiet", "-m", word)
        git(root, "tag", word)
    monkeypatch.setattr(checkouts, "ROOT", root)
    monkeypatch.setattr(checkouts, "FOLDER", root / "build" / "checkouts")
    return root


def test_a_checkout_has_the_files_of_its_commit_and_a_python_of_its_own(repository: Path) -> None:
    old = checkout("old")
    assert old.commit == git(repository, "rev-parse", "old")
    assert old.root == repository / "build" / "checkouts" / old.commit
    assert old.python.is_relative_to(old.root)
    assert (old.root / "word").read_text() == "old"
    assert (repository / "word").read_text() == "new"


def test_its_own_installer_runs_with_this_python_and_without_foreign_modules(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert (checkout("old").root / "installed").read_text() == sys.executable + "\n"


def test_an_old_checkout_is_used_again_and_holds_its_commit_again(repository: Path) -> None:
    root = checkout("old").root
    (root / "word").write_text("changed by hand")
    assert checkout("old").root == root
    assert (root / "word").read_text() == "old"
    assert len((root / "installed").read_text().splitlines()) == 2  # asked again, kept what it had


def test_a_checkout_is_made_again_when_its_folder_was_deleted(repository: Path) -> None:
    root = checkout("old").root
    subprocess.run(["rm", "-rf", repository / "build"], check=True)
    assert checkout("old").root == root
    assert (root / "word").read_text() == "old"


def test_a_checkout_is_made_again_when_its_making_was_cut_off(repository: Path) -> None:
    root = checkout("old").root
    (root / ".git").unlink()
    assert checkout("old").root == root
    assert (root / "word").read_text() == "old"


def test_this_tree_is_a_checkout_too_and_says_whether_it_is_changed(repository: Path) -> None:
    assert (here().root, here().python) == (repository, Path(sys.executable))
    assert here().commit == git(repository, "rev-parse", "new")
    assert not described(here()).endswith("-dirty")
    (repository / "word").write_text("changed by hand")
    assert described(here()).endswith("-dirty")


@pytest.mark.parametrize("ref", ["nonsense", "--help", ""])
def test_an_unknown_commit_is_named(repository: Path, ref: str) -> None:
    with pytest.raises(CheckoutFailed, match=f"^There is no commit '{ref}' in this repository.$"):
        checkout(ref)


def test_a_shallow_clone_says_how_to_get_the_rest(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(repository, "rev-parse", "old")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "shallow")
    monkeypatch.setattr(checkouts, "ROOT", tmp_path / "shallow")
    with pytest.raises(CheckoutFailed, match="shallow: run git fetch --unshallow"):
        checkout(commit)


def test_a_machine_without_git_is_told_so(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(CheckoutFailed, match="git is not installed"):
        checkout("old")
    assert here().commit == ""


def test_packages_that_cannot_be_installed_end_it(repository: Path) -> None:
    (repository / "requirements.txt").write_text("broken")
    git(repository, "commit", "--quiet", "-a", "-m", "broken")
    with pytest.raises(CheckoutFailed, match="packages of 'HEAD' could not be installed"):
        checkout("HEAD")
