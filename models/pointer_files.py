"""Files of a model folder that name versions, one a line, and the stack of versions that were active before.

A file is replaced atomically: a reader sees the old names or the new ones, and never half of either.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PREVIOUS: Final = "PREVIOUS"
EARLIER: Final = "EARLIER"
MAX_EARLIER: Final = 100


def read(path: Path) -> list[str]:
    """The names in a file; none if there is no such file. Raises `OSError` where it cannot be read."""
    try:
        return path.read_text(errors="replace").split()
    except FileNotFoundError:
        return []


def replace(path: Path, names: Sequence[str]) -> None:
    """Put these names in place of those before; without names, remove the file. Raises `OSError`."""
    if not names:
        path.unlink(missing_ok=True)
        return
    handle, scratch = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write("\n".join(names) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(scratch, 0o644)  # a shared volume is read by other users
        os.replace(scratch, path)
    except BaseException:  # a full disk, or Ctrl-C
        os.unlink(scratch)
        raise


def stack(folder: Path) -> list[str]:
    """The versions of a model that were active before the present one, newest last.

    The newest stands in PREVIOUS by itself, for release 1 reads and writes that file and no other.
    """
    return [*read(folder / EARLIER), *read(folder / PREVIOUS)]


def push(folder: Path, version: str) -> None:
    """Put a version on the stack. A crash half way repeats an entry and loses none."""
    replace(folder / EARLIER, stack(folder)[-MAX_EARLIER:])
    replace(folder / PREVIOUS, [version])


def pop(folder: Path, version: str) -> None:
    """Take the newest entry of a version off the stack, and all above it.

    A crash half way repeats an entry and loses none. Raises `IndexError` where the version is not on it.
    """
    kept = stack(folder)
    while kept.pop() != version:
        pass
    replace(folder / PREVIOUS, kept[-1:])
    replace(folder / EARLIER, kept[:-1])
