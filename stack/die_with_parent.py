"""Run a command that never outlives the process that started it.

    python die_with_parent.py COMMAND [ARGUMENT...]

A process manager killed by `kill -9` cannot stop its children. Each child therefore requests a SIGTERM for
its parent's death from the kernel (prctl, Linux). Then it executes the command; the request survives exec. A
managed process killed by `kill -9` cannot stop its own children either, which may still hold its port. They
are killed before its successor starts.

Without prctl or /proc the command simply runs. This file imports only the standard library, so that it starts
in 10 ms with `python -I -S`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PROGRAM_NAME = "SUPERVISOR_PROCESS_NAME"  # set by supervisord for each program, inherited by children


def bound_to_parent(command: list[str]) -> list[str]:
    """Return a command line that runs `command` and ends it with SIGTERM when its parent ends in any way.

    The parent is, more exactly, the thread that starts it.
    """
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *command]


def processes_of_session(session: int) -> Iterator[int]:
    """Yield the ids of the live processes of a session; none without /proc."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # "pid (name) state ppid pgrp session …"; the name may contain blanks and parentheses.
            state, _ppid, _pgrp, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # the process has ended
            continue
        if int(its_session) == session and state not in "ZX":  # not zombies
            yield int(entry.name)


def _end_with_parent() -> None:
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):  # not Linux
        return
    if os.getppid() != parent:  # the parent ended before the request
        raise SystemExit(1)


def _end_leftovers() -> None:
    """Kill processes left by an earlier run of the same program in the same session."""
    name = os.environ.get(PROGRAM_NAME)
    if name is None:
        return
    mark = f"{PROGRAM_NAME}={name}".encode()
    for pid in processes_of_session(os.getsid(0)):
        try:
            if pid != os.getpid() and mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
        except OSError:  # the process has ended
            continue


if __name__ == "__main__":
    _end_with_parent()
    _end_leftovers()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - our own command line, and no shell wanted
