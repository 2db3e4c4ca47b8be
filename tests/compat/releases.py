"""A release of the service: its code, and the processes that it is made of by its own words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.checkouts import Checkout
from tests.processes import Process

# Runs in each release: the command lines of `make run` are part of what a release is.
_LIST_PROGRAMS: Final = """
import json
from settings import load_or_exit
from stack.programs import programs, shared_environment
settings = load_or_exit()
print(json.dumps({
    program.name: {
        "command": program.command,
        "directory": str(program.directory),
        "environment": {**shared_environment(settings), **program.environment},
    }
    for program in programs(settings)
}))
"""
LIST_TIMEOUT_S: Final = 60
WORKER: Final = "worker-"


@dataclass(frozen=True, slots=True)
class Release:
    """`name` is `old` or `new`. `port` is where its web process listens."""

    name: str
    port: int
    _programs: dict[str, dict[str, Any]]
    _env: Mapping[str, str]

    @classmethod
    def of(cls, name: str, checkout: Checkout, port: int, env: Mapping[str, str]) -> Release:
        """Ask the checkout for its command lines. Blocks for about a second."""
        env = {**env, "PORT": str(port)}
        listed = subprocess.run(
            [str(checkout.python), "-c", _LIST_PROGRAMS],
            cwd=checkout.root,
            env=env,
            capture_output=True,
            text=True,
            timeout=LIST_TIMEOUT_S,
            check=False,
        )
        assert listed.returncode == 0, f"{name}: {listed.stderr}"
        return cls(name, port, json.loads(listed.stdout), env)

    def start(self, program: str, **settings: str) -> Process:
        """Start one program as `make run` would, with `settings` on top. Returns before it is ready."""
        found = self._programs[program]
        command = list(found["command"])
        if program.startswith(WORKER):
            # On one host the two releases would otherwise have the same worker names.
            command += ["-n", f"{worker_name(program, self.name)}@%h"]
        env = {**self._env, **found["environment"], **settings}
        return Process(command, env, directory=Path(found["directory"]))


def worker_name(program: str, release: str) -> str:
    """A worker's name in this run, without its host."""
    return f"{program.removeprefix(WORKER)}-{release}"
