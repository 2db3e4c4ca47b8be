"""`python -m stack run`: start everything, report readiness, watch, stop everything."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from private_files import OF_OTHERS, make_folder, tighten, tighten_all
from settings import ROOT, Settings, load_or_exit
from settings.secret_files import forget_secrets_of_files
from settings.tls_files import refuse_unusable_tls
from stack.console import LiveLine, clock, print_line
from stack.local_api import local_host
from stack.login_link import console_line
from stack.ports import admin_ports, port_problems, port_uses
from stack.programs import (
    OWN_FILES,
    OWN_FOLDERS,
    log_file,
    metrics_folder,
    programs,
    shared_environment,
)
from stack.readiness import Check, checks
from stack.supervisor import Supervisor

# Usually 10 to 20. The first start compiles every module and takes a minute on a busy machine.
READY_WITHIN_S: Final = 180
DEATHS_BEFORE_GIVING_UP: Final = 3  # during the start; later, restarts are unlimited
LOG_LINES_SHOWN: Final = 15
NAMES_SHOWN: Final = 4
LOOK_EVERY_S: Final = 0.5

EXIT_STOPPED: Final = 0
EXIT_FAILED: Final = 1
EXIT_NOT_STARTED: Final = 2


class StartFailed(Exception):
    """Raised when a program does not start. `program` has the relevant log."""

    def __init__(self, message: str, program: str) -> None:
        self.program = program
        super().__init__(message)


def run() -> int:
    """Run the service until a signal ends it. Blocks.

    Returns the exit code: 0 stopped on request, 1 something failed, 2 nothing was started.
    """
    stop = _stop_on_signals()
    settings = load_or_exit()
    forget_secrets_of_files()
    # Files of all programs are this user's alone, whatever their mode would be.
    os.umask(OF_OTHERS)
    refuse_unusable_tls(settings)
    if not settings.flower_basic_auth:
        print_line(
            "Wrong setting: FLOWER_BASIC_AUTH: must be set, as user:password, for Flower shows every task"
        )
        return EXIT_NOT_STARTED
    tighten(ROOT / ".env")
    try:
        _make_folders(settings)
    except OSError as error:
        print_line(f"Wrong setting: STATE_DIR: cannot write {error.filename}: {error.strerror}")
        return EXIT_NOT_STARTED
    with _only_one(settings.state_dir / "run.lock") as running:
        if running is not None:
            print_line(
                f"The service already runs here (process {running}). Stop it with Ctrl-C in its terminal or "
                f"`kill {running}`, or use it: make demo"
            )
            return EXIT_NOT_STARTED
        if problems := port_problems(port_uses(settings)):
            for problem in problems:
                print_line(problem)
            return EXIT_NOT_STARTED
        return _run(settings, stop)


def _run(settings: Settings, stop: threading.Event) -> int:
    shutil.rmtree(metrics_folder(settings), ignore_errors=True)  # counters of earlier processes
    metrics_folder(settings).mkdir()
    ports = admin_ports(settings)
    supervisor = Supervisor(programs(settings, ports), settings.state_dir, shared_environment(settings))
    supervisor.start()
    try:
        if took_s := _wait_until_ready(settings, supervisor, stop):
            print_line(_summary(settings, ports, took_s))
            _restart_ended(settings, supervisor, stop)
    except StartFailed as failure:
        print_line(str(failure))
        _show_log(log_file(settings, failure.program))
        return EXIT_FAILED
    finally:
        print_line("Stopping …")
        began = time.monotonic()
        supervisor.stop()
        print_line(f"Everything has stopped ({time.monotonic() - began:.1f} s).")
    return EXIT_STOPPED


def _wait_until_ready(settings: Settings, supervisor: Supervisor, stop: threading.Event) -> float | None:
    """Return the seconds until all checks passed, or None after a signal. Raises `StartFailed`."""
    began = time.monotonic()
    line = LiveLine()
    pending = checks(settings)
    problem = ""
    print_line(f"Starting {', '.join(program.name for program in supervisor.programs)} …")
    try:
        while True:
            took_s = time.monotonic() - began
            if not supervisor.alive():
                raise StartFailed("The process manager ended.", "supervisord")
            for died in supervisor.look():
                line.print_line(f"{clock()} {died.name} ended; starting it again.")
                if died.deaths >= DEATHS_BEFORE_GIVING_UP:
                    raise StartFailed(f"{died.name} ends again and again.", died.name)
            still: list[Check] = []
            for check in pending:
                if found := check.problem():
                    problem = f"{check.name} {found}" if not still else problem
                    still.append(check)
                else:
                    line.print_line(f"{took_s:5.1f} s  {check.name} ready")
            pending = still
            unsettled = [state.name for state in supervisor.states.values() if not state.settled]
            if not pending and not unsettled:
                line.clear()
                return took_s
            if took_s > READY_WITHIN_S:
                if pending:
                    raise StartFailed(f"Not ready after {READY_WITHIN_S} s: {problem}.", pending[0].program)
                raise StartFailed(f"Not ready after {READY_WITHIN_S} s: {unsettled[0]}.", unsettled[0])
            waiting_for = _some_of([check.name for check in pending] or unsettled)
            line.show(f"{took_s:5.1f} s  waiting for {waiting_for}" + (f" ({problem})" if pending else ""))
            if stop.wait(LOOK_EVERY_S / 2):
                return None
    finally:
        line.clear()


def _some_of(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"


def _restart_ended(settings: Settings, supervisor: Supervisor, stop: threading.Event) -> None:
    """Report every program that dies, until a signal. Raises `StartFailed` if supervisord ends."""
    while not stop.wait(LOOK_EVERY_S):
        if not supervisor.alive():
            raise StartFailed("The process manager ended, and everything with it.", "supervisord")
        for died in supervisor.look():
            log = _shown(log_file(settings, died.name))
            print_line(f"{clock()} {died.name} ended unexpectedly and is started again; see {log}")


def _summary(settings: Settings, ports: dict[str, int], took_s: float) -> str:
    scheme = "https" if settings.tls_certfile else "http"
    url = f"{scheme}://{_for_people(settings.host)}:{settings.port}"
    user, _, password = settings.flower_basic_auth.split(",")[0].partition(":")
    key = max(settings.api_keys, key=lambda entry: len(entry.roles)).key
    login = f"user {user}, password {password}; FLOWER_BASIC_AUTH"
    console = console_line(settings, url, key)
    if not sys.stdout.isatty():  # a log, which others may read
        key, login = "in .env or the environment", f"user {user}; FLOWER_BASIC_AUTH"
    return f"""
EVzone ML Service is ready, after {took_s:.0f} s.

  Console  {console}
  API      {url}        (documentation: {url}/docs)
  API key  {key}        (header X-API-Key; ML_SERVICE_API_KEY)
  Flower   http://localhost:{settings.flower_port}        ({login})
  Redis    {_place(settings.redis_embedded, f"127.0.0.1:{settings.redis_port}", "REDIS_URL")}
  Kafka    {_place(settings.kafka_embedded, settings.kafka_bootstrap_servers, "KAFKA_BOOTSTRAP_SERVERS")}
  Metrics  {_admin(settings, ports)}
  Logs     {_shown(settings.state_dir / "log")}/*.log

See it at work: make demo (in another terminal).  Stop: Ctrl-C.
"""


def _admin(settings: Settings, ports: dict[str, int]) -> str:
    if not any(ports.values()):
        return "off        (ADMIN_PORT=0)"
    programs = ", ".join(f"{port} {name}" for name, port in ports.items())
    return f"http://{_for_people(settings.admin_host)}:PORT/metrics        ({programs})"


def _for_people(host: str) -> str:
    local = local_host(host)
    return "localhost" if local in ("127.0.0.1", "::1") else local


def _place(embedded: bool, address: str, setting: str) -> str:
    return f"{address}        (embedded)" if embedded else f"yours        ({setting})"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _show_log(path: Path) -> None:
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    print_line(f"The last lines of {_shown(path)}:" if lines else f"{_shown(path)} is empty.")
    for line in lines[-LOG_LINES_SHOWN:]:
        print_line(f"  | {line}")


def _make_folders(settings: Settings) -> None:
    """Make the folders of `STATE_DIR`, and close to others those of earlier runs.

    Raises `OSError` with the folder in which files cannot be written.
    """
    state = settings.state_dir
    for folder in (state, state / "log", state / "redis"):
        make_folder(folder)
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from None
    for name in OWN_FOLDERS:
        tighten_all(state / name)
    for name in OWN_FILES:
        tighten(state / name)
    # A folder that others use too, like /tmp, stays open to them.
    if {path.name for path in state.iterdir()} <= {*OWN_FOLDERS, *OWN_FILES}:
        tighten(state)


def _stop_on_signals() -> threading.Event:
    """Return an event that is set by Ctrl-C, SIGTERM and a closed terminal."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


@contextmanager
def _only_one(path: Path) -> Iterator[int | None]:
    """Hold the lock file during the block. Yields the other holder's process id, or None."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            yield int(file.read() or 0)
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield None
