"""A small file system, which can be filled: a tmpfs. Mounting it needs root."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults.services import CannotCause

BALLAST: Final = "ballast"
# Large pieces first, so that it takes milliseconds, then single pages.
PIECES_BYTES: Final = (1 << 20, 1 << 12)


def mount(folder: Path, size_mb: int) -> None:
    """Mount a tmpfs on `folder`. Raises `CannotCause` where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=1777", "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotCause(f"a small disk needs root and the right to mount ({done.stderr.splitlines()[0]})")


def unmount(folder: Path) -> None:
    """Unmount it, also while programs have files open there."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@contextmanager
def small_disk(size_mb: int) -> Iterator[Path]:
    """A folder that is a file system of its own, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="evzone-disk-") as name:
        folder = Path(name)
        mount(folder, size_mb)
        try:
            yield folder
        finally:
            unmount(folder)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Fill the file system to its last page."""
    ballast = folder / BALLAST
    with ballast.open("wb", buffering=0) as file:
        for piece_bytes in PIECES_BYTES:
            try:
                while file.write(bytes(piece_bytes)) == piece_bytes:
                    pass
            except OSError:
                continue
    try:
        yield
    finally:
        ballast.unlink()
