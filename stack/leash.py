"""Run a command that ends when the process that started it ends.

    python leash.py COMMAND [ARGUMENT...]

`kill -9` of a process manager gives it no chance to stop what it manages. So each child first asks the
kernel for a SIGTERM at its parent's death (prctl, Linux) and then becomes the command; the wish survives
exec. Where there is no prctl the command simply runs.

This file imports nothing of ours, so that it starts in 10 ms with `python -I -S`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def leashed(command: list[str]) -> list[str]:
    """`command`, to be started so that it gets SIGTERM when its parent (more exactly, the parent's
    thread that starts it) ends in whatever way."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *command]


def _end_with_parent() -> None:
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):  # no Linux
        return
    if os.getppid() != parent:  # it ended before the kernel knew our wish
        raise SystemExit(1)


if __name__ == "__main__":
    _end_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - our own command line, and no shell wanted
