"""Run a command that never outlives the process that started it.

    python die_with_parent.py COMMAND [ARGUMENT...]

`kill -9` of a process manager gives it no chance to stop what it manages. So each child first asks the
kernel for a SIGTERM at its parent's death (prctl, Linux) and then becomes the command; the wish survives
exec. And `kill -9` of a managed process gives that one no chance to stop its own children, which may go on
holding its port: they are ended before its successor starts.

Where there is no prctl and no /proc the command simply runs. This file imports nothing of ours, so that it
starts in 10 ms with `python -I -S`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PROGRAM_NAME = "SUPERVISOR_PROCESS_NAME"  # supervisord sets it for each program; its children inherit it


def bound_to_parent(command: list[str]) -> list[str]:
    """`command`, to be started so that it gets SIGTERM when its parent (more exactly, the parent's
    thread that starts it) ends in whatever way."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *command]


def processes_of_session(session: int) -> Iterator[int]:
    """The ids of the live processes of one session; none where there is no /proc."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # "pid (name) state ppid pgrp session …"; the name may hold blanks and parentheses.
            state, _ppid, _pgrp, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it ended meanwhile
            continue
        if int(its_session) == session and state not in "ZX":  # dead ones only wait for being noticed
            yield int(entry.name)


def _end_with_parent() -> None:
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):  # no Linux
        return
    if os.getppid() != parent:  # it ended before the kernel knew our wish
        raise SystemExit(1)


def _end_leftovers() -> None:
    """Kill what an earlier run of this same program in this same session left behind."""
    name = os.environ.get(PROGRAM_NAME)
    if name is None:
        return
    mark = f"{PROGRAM_NAME}={name}".encode()
    for pid in processes_of_session(os.getsid(0)):
        try:
            if pid != os.getpid() and mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
        except OSError:  # it ended meanwhile
            continue


if __name__ == "__main__":
    _end_with_parent()
    _end_leftovers()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - our own command line, and no shell wanted
