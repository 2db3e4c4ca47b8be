"""Checkouts of other commits, each with a virtual environment of its own lock: build/checkouts/<commit>."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from settings import ROOT

FOLDER: Final = ROOT / "build" / "checkouts"
LOCK: Final = "requirements.txt"
# These variables point Python, pip or git at other folders.
_FOREIGN: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


class CheckoutFailed(Exception):
    """Raised when a commit cannot be checked out or installed. The message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """Code and its Python. `commit` is the full hash, or empty without git."""

    root: Path
    python: Path
    commit: str


def here() -> Checkout:
    """Return this working tree with its local changes, and the running Python."""
    try:
        commit = _git("rev-parse", "--verify", "HEAD")
    except CheckoutFailed:
        commit = ""
    return Checkout(ROOT, Path(sys.executable), commit)


def checkout(ref: str) -> Checkout:
    """Check out `ref` in a detached worktree and install its own lock with this Python.

    An existing checkout is reused; changes in it are undone. Raises `CheckoutFailed`. Blocks for about a
    minute for a new commit, and while another process creates a checkout.
    """
    commit = _commit_of(ref)
    root = FOLDER / commit
    with _locked():
        if not _restored(root, commit):
            _added(root, commit)
        _install(root, ref)
    return Checkout(root, root / ".venv" / "bin" / "python", commit)


def described(checkout: Checkout) -> str:
    """Return the tag or abbreviated commit, with `-dirty` for local changes. Raises `CheckoutFailed`."""
    return _git("describe", "--always", "--dirty", directory=checkout.root)


def _commit_of(ref: str) -> str:
    shallow = _git("rev-parse", "--is-shallow-repository") == "true"
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except CheckoutFailed:
        if shallow:
            raise CheckoutFailed(
                f"The commit {ref!r} is not in this clone, which is shallow: run git fetch --unshallow."
            ) from None
        raise CheckoutFailed(f"There is no commit {ref!r} in this repository.") from None


@contextmanager
def _locked() -> Iterator[None]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _restored(root: Path, commit: str) -> bool:
    """Restore an existing checkout to the commit. Returns False without one. The ignored .venv is kept."""
    if not (root / ".git").exists():
        return False
    try:
        _git("checkout", "--quiet", "--force", "--detach", commit, directory=root)
    except CheckoutFailed:
        return False
    return True


def _added(root: Path, commit: str) -> None:
    shutil.rmtree(root, ignore_errors=True)
    # --force: the folder of a registered worktree may have been deleted by `make clean`.
    _git("worktree", "add", "--quiet", "--force", "--detach", str(root), commit)


def _install(root: Path, ref: str) -> None:
    """Install the lock. Returns at once if it is installed already."""
    installer = root / "stack" / "install.py"
    if not installer.exists():
        raise CheckoutFailed(f"The commit {ref!r} has no stack/install.py and cannot be installed.")
    done = subprocess.run(
        [sys.executable, str(installer), LOCK], cwd=root, env=_environment(), stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise CheckoutFailed(f"The packages of {ref!r} could not be installed in {root}.")


def _git(*arguments: str, directory: Path | None = None) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory or ROOT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise CheckoutFailed("git is not installed, and other commits come from it.") from None
    if done.returncode != 0:
        reason = (done.stderr.strip() or "no reason given").splitlines()[0]
        raise CheckoutFailed(f"git {arguments[0]} failed: {reason}")
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Environment without foreign folders. An empty PYTHONDONTWRITEBYTECODE lets Python keep compiled
    modules.
    """
    return {name: value for name, value in os.environ.items() if name not in _FOREIGN} | {
        "PYTHONDONTWRITEBYTECODE": ""
    }
