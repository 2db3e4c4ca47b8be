"""The files in which processes of one host share their metrics.

`PROMETHEUS_MULTIPROC_DIR` is the folder of all programs of a host. Each program (a process group: web server,
worker with its children, consumer) has its own folder there, named after the group's id. An admin port reads
its program's folder, `/metrics` of the API reads all of them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from prometheus_client import mmap_dict

log = logging.getLogger(__name__)

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_Values: Final[Any] = mmap_dict.MmapedDict  # not typed there
_PROGRAM: Final = "program-"
# Totals of programs that have ended. The process id 0 is never that of a process.
_ENDED: Final = "ended"
_LOCK: Final = "lock"


def use_own_folder() -> None:
    """Have this process write into its program's folder. Call before the first metric is created.

    Does nothing without `PROMETHEUS_MULTIPROC_DIR`: metrics then stay in the process. Adds the totals of
    ended programs together, so that restarts do not fill the folder.
    """
    folder = own_folder()
    if folder is None or folder.name.startswith(_PROGRAM):  # inherited from a parent of the same program
        return
    own = folder / f"{_PROGRAM}{os.getpgrp()}"
    own.mkdir(parents=True, exist_ok=True)
    os.environ[VARIABLE] = str(own)
    with locked(folder, fcntl.LOCK_EX):
        for program in folder.glob(f"{_PROGRAM}*"):
            if program != own and not _group_lives(int(program.name.removeprefix(_PROGRAM))):
                try:
                    _add_to_ended(folder / _ENDED, program)
                except Exception:  # a file left half written must not keep others from starting
                    log.warning("the totals of an ended program cannot be read: %s", program, exc_info=True)
                shutil.rmtree(program, ignore_errors=True)


def own_folder() -> Path | None:
    """The folder of this program's metric files, or None without `PROMETHEUS_MULTIPROC_DIR`."""
    return Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def files_of_program(folder: Path) -> list[str]:
    """The metric files of one program. Deletes the gauges of processes that have ended."""
    found = []
    for file in folder.glob("*.db"):
        kind, _, pid = file.stem.rpartition("_")
        if kind.startswith("gauge_live") and not Path(f"/proc/{pid}").exists():
            file.unlink(missing_ok=True)
        else:
            found.append(str(file))
    return found


def files_of_host(folder: Path) -> list[str]:
    """The metric files of all programs that share `folder`, those that have ended included."""
    programs = (*folder.glob(f"{_PROGRAM}*"), folder / _ENDED)
    return [file for program in programs for file in files_of_program(program)]


@contextmanager
def locked(folder: Path, how: int) -> Iterator[None]:
    """Hold the lock of the host's folder: shared to read, exclusive to move totals between files."""
    with (folder / _LOCK).open("a") as file:
        fcntl.flock(file, how)
        yield


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _add_to_ended(ended: Path, program: Path) -> None:
    """Add a program's counters and histograms to the totals of ended programs. Leaves out its gauges."""
    ended.mkdir(exist_ok=True)
    for kind in ("counter", "histogram"):
        files = list(program.glob(f"{kind}_*.db"))
        if not files:
            continue
        totals = _Values(str(ended / f"{kind}_0.db"))
        try:
            for file in files:
                for key, value, _, _ in _Values.read_all_values_from_file(str(file)):
                    held, _ = totals.read_value(key)
                    totals.write_value(key, held + value, 0.0)
        finally:
            totals.close()
