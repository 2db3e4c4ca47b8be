"""Devices for tests of files to write into."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import pytest

# The device number of `/dev/full` on Linux.
FULL: Final = os.makedev(1, 7)


def full_device(folder: Path) -> Path:
    """A device like `/dev/full`, whose every write fails. Needs root; skips where there are no devices."""
    full = folder / "full"
    try:
        os.mknod(full, 0o666 | stat.S_IFCHR, FULL)
        full.open("wb").close()
    except PermissionError:
        pytest.skip("this container has no devices")
    return full
