"""`python -m stack run` with ports and folders of its own, and all its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from settings import ROOT
from tests.processes import Process, free_port, wait_until

READY_WITHIN_S = 200  # longer than it gives itself, so that its own message is seen


@dataclass
class Stack:
    """One `python -m stack run` with ports and folders of its own. Its state folder is missing at first."""

    home: Path
    process: Process | None = None

    def __post_init__(self) -> None:
        self.folder = self.home / "var"
        self.port = free_port()
        ports = {"PORT": self.port} | {
            name: free_port() for name in ("REDIS_PORT", "KAFKA_PORT", "FLOWER_PORT")
        }
        self.environment = (
            {name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "KAFKA_"))}
            | {name: str(port) for name, port in ports.items()}
            | {"STATE_DIR": str(self.folder), "ML_SERVICE_API_KEY": "a-key", "FLOWER_BASIC_AUTH": "me:secret"}
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Start in the background; what it says goes to a file."""
        command = [sys.executable, "-m", "stack", "run"]
        self.process = Process(command, self.environment, log_file=self.home / "said")
        return self.process.process

    def run(
        self, command: str = "run", *arguments: str, timeout_s: float = 30, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end: a start that is refused, or the demo with its arguments."""
        return subprocess.run(
            [sys.executable, "-m", "stack", command, *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def said(self) -> str:
        return (self.home / "said").read_text()

    def wait_until_said(self, text: str) -> None:
        """Wait until it has printed this text. Fails if it ends before."""
        process = self.process
        assert process is not None
        wait_until(
            lambda: text in self.said() or process.has_ended(),
            what=text,
            timeout_s=READY_WITHIN_S,
            log=self.said,
        )
        assert text in self.said(), self.said()

    def processes(self, part_of_command: str = "") -> list[int]:
        """Every live process that belongs to this run: all inherit its folder's name.

        Except that Redis writes its title over its environment; that title ends in its port.
        """
        mark = f"STATE_DIR={self.folder}".encode()
        redis_title = f":{self.environment['REDIS_PORT']}"
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            ours = mark in environment.split(b"\0") or command.strip(" ").endswith(redis_title)
            if ours and part_of_command in command:
                found.append(int(entry.name))
        return sorted(found)


@contextlib.contextmanager
def stack_in(home: Path) -> Iterator[Stack]:
    """A stack that leaves no process behind."""
    stack = Stack(home)
    yield stack
    while left := stack.processes():  # more than once: what is being started now has children later
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    if stack.process is not None:
        stack.process.process.wait()


def open_to_others(folder: Path) -> list[str]:
    """The files and folders, from this one down, that other users have a right to."""
    return [str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]
