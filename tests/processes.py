"""Real processes for tests, and the service as an operator runs it: workers and web against a given Redis."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar
from unittest import mock

import httpx

from settings import ROOT, Settings, read_settings
from stack.die_with_parent import bound_to_parent, processes_of_session
from stack.programs import granian_options
from stack.servers import LOOPBACK
from tasks.messaging.names import Queues

BIN = Path(sys.executable).parent
KEY = "test-key-for-everything"
READ_KEY = "test-key-for-reading"
START_TIMEOUT_S = 30.0
NOWHERE = "redis://127.0.0.1:1/0"  # nothing listens there

T = TypeVar("T")


def environment(redis_url: str = NOWHERE, **extra: str) -> dict[str, str]:
    """A process's whole environment: nothing of the developer's own settings gets in."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", tempfile.gettempdir()),
        "ENVIRONMENT": "test",
        "ML_SERVICE_API_KEY": f"{KEY},{READ_KEY}:read",
        "REDIS_URL": redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",  # nobody there: what needs Kafka says so itself
        "ADMIN_PORT": "0",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        # Most tests are about the way through the queue.
        "ML_DEGRADED_SCORING": "false",
        **extra,
    }


def settings_of(env: Mapping[str, str]) -> Settings:
    """The settings that a process with this environment reads."""
    with mock.patch.dict(os.environ, env, clear=True):
        return read_settings(dotenv=None)


def settings_for(redis_url: str = NOWHERE, **extra: str) -> Settings:
    """The settings that a process with `environment` reads."""
    return settings_of(environment(redis_url, **extra))


def free_port() -> int:
    """A port that nothing listens on.

    Below the range that outgoing connections take their ports from: a client that knocks on a stopped
    server's port in that range can be given the very same port, and then talks to itself.
    """
    while True:
        port = random.randint(20_000, 29_999)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


class Process:
    """One process in a session of its own. It ends with the test run.

    Its output goes to `log_file`, or to a file that `stop` deletes; errors to `error_file` if one is given.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        directory: Path = ROOT,
        log_file: Path | None = None,
        error_file: Path | None = None,
    ) -> None:
        self._is_temporary = log_file is None
        if log_file is None:
            handle, name = tempfile.mkstemp(prefix="evzone-", suffix=".log")
            os.close(handle)
            log_file = Path(name)
        self.log_file: Final = log_file
        with log_file.open("ab") as log, (error_file or log_file).open("ab") as errors:
            self.process = subprocess.Popen(
                bound_to_parent(list(command)),
                cwd=directory,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                start_new_session=True,  # Ctrl-C at the test run's terminal is pytest's to handle
            )

    def signal_all(self, number: signal.Signals) -> None:
        """Signal the process and its children."""
        os.killpg(self.process.pid, number)

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def end(self, timeout_s: float) -> int:
        """SIGTERM the process alone, as a process manager does, and wait; the exit code.

        Raises `subprocess.TimeoutExpired`. The output stays until `stop`.
        """
        self.process.send_signal(signal.SIGCONT)  # a paused process does not see SIGTERM
        self.process.terminate()
        return self.process.wait(timeout_s)

    def stop(self) -> None:
        """End it, its children too. Does nothing if it has ended."""
        for number, patience_s in ((signal.SIGCONT, 0.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            try:
                self.signal_all(number)
                if patience_s:
                    self.process.wait(patience_s)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        if self._is_temporary:
            self.log_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it and its children as a crash would (SIGKILL)."""
        with suppress(ProcessLookupError):
            self.signal_all(signal.SIGKILL)
        self.process.wait()

    def children(self) -> list[int]:
        """The ids of the processes that it has started."""
        return [pid for pid in processes_of_session(self.process.pid) if pid != self.process.pid]

    def peak_kb(self) -> int:
        """The most memory that it and its children have had, summed (Linux's VmHWM)."""
        peaks = []
        for pid in (self.process.pid, *self.children()):
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            peaks += [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
        assert peaks
        return sum(peaks)

    def log(self) -> str:
        """The output so far."""
        return self.log_file.read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_worker(
    queue: str,
    env: Mapping[str, str],
    *,
    name: str | None = None,
    app: str = "tasks.worker.app",
    bin_folder: Path = BIN,
) -> Process:
    """A worker of one queue, called after it or `name`. Returns before it is ready.

    `bin_folder` is that of the virtual environment to run it in.
    """
    name = name or queue.removeprefix("ml.")
    flags = ["-P", "prefork", "-c", "1", "--without-gossip", "--without-mingle"]
    command = [f"{bin_folder}/python", "-m", "celery", "-A", app, "worker", "-Q", queue, "-n", f"{name}@%h"]
    return Process([*command, *flags], env)


@contextmanager
def running_service(env: Mapping[str, str], *, bin_folder: Path = BIN) -> Iterator[Web]:
    """A web process with a worker for single predictions and one for batches, all of them ready."""
    with (
        start_worker(Queues.SINGLE, env, bin_folder=bin_folder) as single,
        start_worker(Queues.BATCH, env, bin_folder=bin_folder) as batch,
        Web(env, bin_folder=bin_folder) as web,
    ):
        wait_until(web.ready, what="readiness", log=lambda: single.log() + web.log())
        wait_until(lambda: "ready" in batch.log(), what="the batch worker", log=batch.log)
        yield web


# How the application is served; the first is what `make run` does.
SERVERS: Final[dict[str, str]] = {
    "asgi": "granian asgi:app {options} --port {port}",
    "gunicorn": "gunicorn --worker-class gthread --threads {threads} wsgi:app --bind 127.0.0.1:{port}",
    "granian-wsgi": "granian --interface wsgi --blocking-threads {threads} wsgi:app --port {port}",
}


class Web(Process):
    """A web process on a free port (or `port`), by one of `SERVERS`, with a client that has the key.

    `within` is a command line that runs the server's.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        port: int | None = None,
        *,
        server: str = "asgi",
        bin_folder: Path = BIN,
        within: Sequence[str] = (),
    ) -> None:
        port = free_port() if port is None else port
        self.port = port
        self.server: Final = server
        command = SERVERS[server].format(
            port=port,
            threads=env.get("WEB_THREADS", "32"),
            options=" ".join(granian_options(settings_of(env))),
        )
        super().__init__([*within, *f"{bin_folder}/{command}".split()], env)
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, headers={"X-API-Key": KEY}, timeout=10)
        wait_until(self.answers, what="the web process to answer", log=self.log)

    def answers(self) -> bool:
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def ready(self) -> bool:
        return self.client.get("/health/ready").status_code == 200

    def stop(self) -> None:
        self.client.close()
        super().stop()


def wait_until(
    condition: Callable[[], T],
    *,
    what: str,
    timeout_s: float = START_TIMEOUT_S,
    poll_s: float = 0.05,
    log: Callable[[], str] = lambda: "",
) -> T:
    """Poll until `condition()` is true; its value.

    Raises an `AssertionError` that says what was waited for after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {timeout_s:g} s in vain for {what}.\n{log()}")
        time.sleep(poll_s)
    return found
