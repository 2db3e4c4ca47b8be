"""Run programs in sessions of their own and measure their cost from /proc (Linux)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from settings import ROOT
from stack.die_with_parent import bound_to_parent, processes_of_session

START_TIMEOUT_S: Final = 120.0
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED: Final = 2  # linux/posix-timers.h


@dataclass(frozen=True, slots=True)
class Program:
    """One command of a contestant, and its additions to the common environment."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path = ROOT


def shown(command: Sequence[str]) -> str:
    """Return a command line without the folders of this machine."""
    return " ".join([Path(command[0]).name, *(part.replace(f"{ROOT}/", "") for part in command[1:])])


class Running:
    """The processes of a contestant."""

    def __init__(self, programs: Sequence[Program], log: Path) -> None:
        base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        base |= {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
        self._log = log.open("wb")
        self._processes = [
            subprocess.Popen(
                bound_to_parent(list(program.command)),
                env=base | dict(program.environment),
                cwd=program.directory,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
            for program in programs
        ]

    def cpu_s(self, pids: Iterable[int] | None = None) -> float:
        """Return the CPU seconds so far of all processes (or `pids`) and of their ended children."""
        return cpu_seconds(self._pids() if pids is None else pids)

    def memory_mb(self, *, without: str = "") -> float:
        """Return the memory in MB, without that of one `purpose`. Shared memory is counted once."""
        kilobytes = 0
        for pid in self._pids():
            with suppress(OSError, StopIteration):
                if without and purpose(pid) == without:
                    continue
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                kilobytes += int(next(line for line in rollup if line.startswith("Pss:")).split()[1])
        return kilobytes / 1000

    def pids(self) -> list[int]:
        """Return the ids of all live processes."""
        return list(self._pids())

    def stop(self) -> None:
        """Stop all processes. Blocks until they have ended."""
        for number, patience_s in ((signal.SIGTERM, 12.0), (signal.SIGKILL, 3.0)):
            for process in reversed(self._processes):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + patience_s
            while any(True for _ in self._pids()) and time.monotonic() < deadline:
                time.sleep(0.1)
        for process in self._processes:
            process.wait()
        self._log.close()

    def _pids(self) -> Iterator[int]:
        for process in self._processes:
            process.poll()
            yield from processes_of_session(process.pid)


@contextmanager
def running(programs: Sequence[Program], ready_url: str, log: Path) -> Iterator[Running]:
    """Run the programs; enter the block once `ready_url` returns 200, or 405 because it requires POST."""
    contestant = Running(programs, log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(ready_url):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{ready_url} did not come up; see {log}")
            time.sleep(0.2)
        time.sleep(1.0)  # start-up work, and other processes of the same contestant
        yield contestant
    finally:
        contestant.stop()


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds so far of these processes, their threads and their ended children."""
    found = 0.0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            # In nanoseconds; the ticks of /proc are 10 ms (clock_getcpuclockid(3)).
            found += time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
            found += sum(int(field) for field in fields[13:15]) / TICKS_PER_S  # user, system
    return found


def process_tree(root: int) -> list[int]:
    """Return the ids of a live process and of all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                children.setdefault(int(parent), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def answers(url: str) -> bool:
    """Whether the URL returns 200 or 405."""
    try:
        return httpx.get(url, timeout=2).status_code in (200, 405)
    except httpx.HTTPError:
        return False


def peaks_mb(pids: Iterable[int]) -> dict[str, float]:
    """Return the peak memory in MB (VmHWM, shared pages included) by the purpose of the process."""
    found: dict[str, float] = {}
    for pid in pids:
        with suppress(OSError, StopIteration):
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            peak = next(line for line in status if line.startswith("VmHWM:"))
            name = purpose(pid)
            found[name] = max(found.get(name, 0.0), int(peak.split()[1]) / 1000)
    return found


def purpose(pid: int) -> str:
    """Return the purpose of one of our processes from its command line. Raises `OSError` if it has ended."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return next((label for mark, label in _LABELS.items() if mark in command), "other")


BATCH_WORKER: Final = "worker of batches"
# A worker's command line contains its queue's name.
_LABELS: Final = {
    "ml.single": "worker of singles",
    "ml.batch": BATCH_WORKER,
    "ml.stream": "worker of the stream",
    "granian": "web",
    "consumers": "consumer",
    "flower": "Flower",
    "valkey": "Redis",
    "tansu": "Kafka",
}
