"""supervisord: its configuration, and the states of its programs.

Reasons for supervisord: docs/adr/0001-supervisor.md.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from xmlrpc.client import Error as RpcError
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from private_files import opener
from stack.die_with_parent import bound_to_parent, processes_of_session
from stack.programs import Program

SETTLED_S: Final = 2  # a program that runs this long counts as started
STOP_MARGIN_S: Final = 5
GROUPS: Final = {"servers": 10, "service": 20}  # priorities: the lowest starts first and stops last

HEAD: Final = """\
; Written by `make run` at each start: changes here are lost.
[supervisord]
nodaemon = true
silent = true
logfile = {folder}/log/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 1
pidfile = {folder}/supervisord.pid
umask = 077

[unix_http_server]
file = {socket}
chmod = 0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
# Restarted forever, with growing pauses: delivery relies on restarts.
PROGRAM: Final = """
[program:{name}]
command = {command}
directory = {directory}
environment = {environment}
autorestart = true
startsecs = {settled_s}
startretries = 1000000
stopwaitsecs = {stop_wait_s}
killasgroup = true
redirect_stderr = true
stdout_logfile = {folder}/log/{name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 3
"""
GROUP: Final = """
[group:{name}]
programs = {programs}
priority = {priority}
"""


@dataclass(slots=True)
class ProgramState:
    """State of one program. `settled`: it has run for a while. `deaths` since the start."""

    name: str
    settled: bool = False
    deaths: int = 0
    pid: int = 0


@dataclass(slots=True)
class Supervisor:
    """One supervisord with `programs`, in a session of its own. It ends when this process ends."""

    programs: Sequence[Program]
    folder: Path
    environment: dict[str, str]
    states: dict[str, ProgramState] = field(init=False)
    _process: subprocess.Popen[bytes] = field(init=False)
    _socket_folder: Path = field(init=False)
    _rpc: Any = field(init=False)

    def start(self) -> None:
        """Start supervisord, which starts every program. Does not wait for them."""
        self.states = {program.name: ProgramState(program.name) for program in self.programs}
        # The state folder's path may exceed the limit of 104 characters for a socket.
        self._socket_folder = Path(tempfile.mkdtemp(prefix="evzone-ml-"))
        socket = self._socket_folder / "supervisor.sock"
        config = self.folder / "supervisord.conf"
        _write_private(config, self._config(socket))
        command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(config)]
        with open(self.folder / "log" / "supervisord.err", "wb", opener=opener) as errors:
            self._process = subprocess.Popen(
                bound_to_parent(command),
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # this process handles Ctrl-C, and finds leftovers by session
            )
        self._rpc = ServerProxy("http://supervisor", SupervisorTransport(None, None, f"unix://{socket}"))

    def alive(self) -> bool:
        """Whether supervisord runs."""
        return self._process.poll() is None

    def look(self) -> list[ProgramState]:
        """Update `states`. Returns the programs that died since the last call."""
        died = []
        try:
            answers: list[dict[str, Any]] = self._rpc.supervisor.getAllProcessInfo()
        except (OSError, RpcError, HTTPException):  # starting or stopping
            self._rpc("close")()  # the half-used connection would fail the next call
            return []
        for answer in answers:
            state = self.states[answer["name"]]
            if state.pid and answer["pid"] != state.pid:
                state.deaths += 1
                died.append(state)
            state.pid = answer["pid"]
            state.settled = answer["statename"] == "RUNNING"
        return died

    def stop(self) -> None:
        """Stop all programs in order, then supervisord. Blocks until no process of them runs."""
        session = self._process.pid
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(sum(self._longest_stop(group) for group in GROUPS) + STOP_MARGIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        # Orphans: children of killed programs, or all programs if supervisord was killed.
        deadline = time.monotonic() + STOP_MARGIN_S
        while (left := list(processes_of_session(session))) and time.monotonic() < deadline:
            for pid in left:
                _kill(pid)
            time.sleep(0.05)
        shutil.rmtree(self._socket_folder, ignore_errors=True)

    def _longest_stop(self, group: str) -> int:
        return max((program.stop_wait_s for program in self.programs if program.group == group), default=0)

    def _config(self, socket: Path) -> str:
        parts = [HEAD.format(folder=_escaped(str(self.folder)), socket=_escaped(str(socket)))]
        parts.extend(
            PROGRAM.format(
                name=program.name,
                command=_escaped(shlex.join(bound_to_parent(program.command))),
                directory=_escaped(str(program.directory)),
                environment=_escaped(
                    ",".join(f'{name}="{value}"' for name, value in program.environment.items())
                ),
                settled_s=SETTLED_S,
                stop_wait_s=program.stop_wait_s,
                folder=_escaped(str(self.folder)),
            )
            for program in self.programs
        )
        for group, priority in GROUPS.items():
            names = [program.name for program in self.programs if program.group == group]
            if names:
                parts.append(GROUP.format(name=group, programs=",".join(names), priority=priority))
        return "".join(parts)


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read: it may hold passwords."""
    path.unlink(missing_ok=True)  # that of an earlier run has its own mode, and may be open elsewhere
    with open(path, "x", opener=opener) as file:
        file.write(text)


def _escaped(text: str) -> str:
    """Escape a value: supervisord expands %(name)s."""
    return text.replace("%", "%%")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
