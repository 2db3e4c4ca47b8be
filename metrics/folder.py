"""The files in which processes share their metrics.

`PROMETHEUS_MULTIPROC_DIR` is the folder of all programs that `/metrics` of the API adds up: those of a host,
or of containers with a common volume. Each program (a process group: web server, worker with its children,
consumer) has its own folder there. An admin port reads its program's folder, `/metrics` of the API reads all
of them.

Two containers may have processes with equal ids. A program's folder is therefore named after its host, its
pid namespace and its group. Each process of a program holds a lock, so a program without locks has ended.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from prometheus_client import mmap_dict

log = logging.getLogger(__name__)

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_Values: Final[Any] = mmap_dict.MmapedDict  # not typed there
_PROGRAM: Final = "program-"
# Totals of programs that have ended.
_ENDED: Final = "ended"
# Stands for the process id in the names of files with totals; no process has it.
_TOTALS: Final = "0"
_LOCK: Final = "lock"
# The file in a program's folder that each of its processes locks.
_LIVES: Final = "lives"
# Keeps this process's lock on its program.
_held: list[IO[str]] = []


def use_own_folder() -> None:
    """Have this process write into its program's folder. Call before the first metric is created.

    Does nothing without `PROMETHEUS_MULTIPROC_DIR`: metrics then stay in the process. Adds the totals of
    ended programs together, so that restarts do not fill the folder.
    """
    folder = own_folder()
    if folder is None:
        return
    if folder.name.startswith(_PROGRAM):  # inherited from a parent of the same program
        with locked(folder.parent, fcntl.LOCK_SH):
            _hold(folder)
        return
    own = folder / f"{_PROGRAM}{_here()}-{os.getpgrp()}"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[VARIABLE] = str(own)
    with locked(folder, fcntl.LOCK_EX):
        for program in folder.glob(f"{_PROGRAM}*"):
            if not _program_lives(program):
                _fold(program.glob("*.db"), into=folder / _ENDED)
                shutil.rmtree(program, ignore_errors=True)
        _hold(own)


def own_folder() -> Path | None:
    """The folder of this program's metric files, or None without `PROMETHEUS_MULTIPROC_DIR`."""
    return Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def files_of_program(folder: Path) -> list[str]:
    """The metric files of one program, without the gauges of processes that have ended."""
    if folder.name.startswith(f"{_PROGRAM}{_here()}-"):
        return [str(file) for file in folder.glob("*.db") if not _is_gauge(file) or _process_lives(file)]
    # The ids of its processes say nothing here.
    lives = _program_lives(folder)
    return [str(file) for file in folder.glob("*.db") if lives or not _is_gauge(file)]


def files_of_host(folder: Path) -> list[str]:
    """The metric files of all programs that share `folder`, those that have ended included."""
    programs = (*folder.glob(f"{_PROGRAM}*"), folder / _ENDED)
    # Release 1 writes into `folder` itself.
    earlier = [str(file) for file in folder.glob("*.db") if not _is_gauge(file) or _process_lives(file)]
    return earlier + [file for program in programs for file in files_of_program(program)]


def sweep(folder: Path) -> None:
    """Add the counters of ended processes to the totals of their programs, and delete their gauges.

    Otherwise every worker process that was ever replaced would be read at each scrape. Does nothing while
    another process holds the lock.
    """
    with suppress(BlockingIOError), locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for program in folder.glob(f"{_PROGRAM}{_here()}-*"):
            _fold([file for file in program.glob("*.db") if not _process_lives(file)], into=program)


@contextmanager
def locked(folder: Path, how: int) -> Iterator[None]:
    """Hold the lock of the shared folder: shared to read, exclusive to move totals between files.

    Raises `BlockingIOError` with `LOCK_NB` if another process holds it.
    """
    with (folder / _LOCK).open("a") as file:
        fcntl.flock(file, how)
        yield


@cache
def _here() -> str:
    """The place in which a process id names one process: the host and its pid namespace."""
    host = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
    try:
        return f"{host}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not Linux
        return host


def _hold(program: Path) -> None:
    """Show that the program lives, until this process and its forked children have ended."""
    program.mkdir(exist_ok=True)
    file = (program / _LIVES).open("a")
    fcntl.flock(file, fcntl.LOCK_SH)
    _held.append(file)


def _program_lives(program: Path) -> bool:
    try:
        with (program / _LIVES).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # locked, or another user's
        return True
    return False


def _process_lives(file: Path) -> bool:
    """Whether the process that writes a file of this place lives. Totals count as living."""
    pid = file.stem.rpartition("_")[2]
    try:
        os.kill(int(pid), 0)  # 0 is this process's own group
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _is_gauge(file: Path) -> bool:
    return file.name.startswith("gauge_")


def _fold(files: Iterable[Path], *, into: Path) -> None:
    """Add counters and histograms of ended processes to the totals in the folder `into`; delete the files.

    A damaged file is logged and deleted: it costs the values of its own process. Raises nothing.
    """
    for file in files:
        try:
            if not _is_gauge(file):
                _add(file, into / f"{file.name.partition('_')[0]}_{_TOTALS}.db")
            file.unlink(missing_ok=True)
        except OSError:
            log.warning("the metrics of an ended process cannot be moved: %s", file, exc_info=True)


def _add(file: Path, totals_file: Path) -> None:
    try:
        found = list(_Values.read_all_values_from_file(str(file)))
    except Exception:  # the library raises whatever half an entry leads to
        log.warning("the metrics of an ended process cannot be read, and are lost: %s", file, exc_info=True)
        return
    totals = _opened(totals_file)
    try:
        for key, value, _, _ in found:
            held, _ = totals.read_value(key)
            totals.write_value(key, held + value, 0.0)
    finally:
        totals.close()


def _opened(totals_file: Path) -> Any:
    totals_file.parent.mkdir(exist_ok=True)
    try:
        return _Values(str(totals_file))
    except Exception:
        log.warning("totals of metrics cannot be read, and begin anew: %s", totals_file, exc_info=True)
        totals_file.unlink()
        return _Values(str(totals_file))
