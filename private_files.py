"""Files and folders that only their owner can read, from their creation."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

FOR_OWNER = 0o600
OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_folder(path: Path) -> None:
    """Make a folder and the missing ones above it, for their owner alone. One that exists stays as it is.

    Raises `OSError`.
    """
    if not path.parent.exists():
        make_folder(path.parent)
    path.mkdir(mode=stat.S_IRWXU, exist_ok=True)


def opener(path: str, flags: int) -> int:
    """For `open(path, mode, opener=opener)`: a file that this makes is for its owner alone."""
    return os.open(path, flags, FOR_OWNER)


def tighten(path: Path) -> None:
    """Take the rights of others from a file or a folder.

    A link, a missing file and a file of another user stay as they are.
    """
    with contextlib.suppress(OSError):
        mode = path.lstat().st_mode
        if mode & OF_OTHERS and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~OF_OTHERS)


def tighten_all(folder: Path) -> None:
    """Take the rights of others from a folder and everything below it. Follows no links."""
    for where, _, files in os.walk(folder):
        tighten(Path(where))
        for name in files:
            tighten(Path(where, name))
