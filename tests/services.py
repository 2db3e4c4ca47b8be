"""Real servers for tests: embedded Redis and Kafka on free ports, each in a folder of its own.

    with start_redis() as redis:
        client = Redis.from_url(redis.url)

They share no port and no file with a running `make run`, and end with the test process, even by kill -9.
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.die_with_parent import bound_to_parent
from stack.servers import LOOPBACK, kafka_answers, kafka_command, redis_answers, redis_command

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


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


class ServerProcess:
    """One server process with a folder of its own, which `close` deletes."""

    folder: Path
    process: subprocess.Popen[bytes]
    stop_timeout_s = STOP_TIMEOUT_S

    def stop(self) -> None:
        """End the server in good order (SIGTERM). Does nothing if it has ended."""
        self.process.send_signal(signal.SIGCONT)  # a paused process does not see SIGTERM
        self.process.terminate()
        try:
            self.process.wait(self.stop_timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Make the server mute: connections are accepted (by the kernel), nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill the server and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start the command, with its output in `server.log`."""
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                bound_to_parent(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C at the test run's terminal is pytest's to handle
            )


class RunningServer(ServerProcess):
    """One server process. `url` is what clients are given: a Redis URL, or a Kafka `host:port`."""

    def __init__(self, command: Callable[[int, Path], list[str]], answers: Callable[[int], bool], url: str):
        self._command = command
        self._answers = answers
        self._url = url
        self.folder = Path(tempfile.mkdtemp(prefix="evzone-test-"))
        self.process = self._start_on_free_port()

    @property
    def url(self) -> str:
        return self._url.format(port=self.port)

    def restart(self) -> None:
        """Start again after `stop` or `kill`, on the same port with the same folder."""
        self.process = self._start()
        if not self._came_up():
            raise RuntimeError(f"The server did not come back on port {self.port}.\n{self.log()}")

    def _start_on_free_port(self) -> subprocess.Popen[bytes]:
        for _ in range(5):  # another process may take the port between our look and the server's bind
            self.port = free_port()
            self.process = self._start()
            if self._came_up():
                return self.process
            self.stop()
        raise RuntimeError(f"The server did not start.\n{self.log()}")

    def _start(self) -> subprocess.Popen[bytes]:
        return self._spawn(self._command(self.port, self.folder))

    def _came_up(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._answers(self.port):
                # The answer must be our own server's, not that of one that took the port before it.
                return self.process.poll() is None
            time.sleep(0.02)
        return False


def start_redis() -> RunningServer:
    """A Redis-protocol server with the settings of `make run` (append-only file, no eviction)."""
    return RunningServer(redis_command, redis_answers, "redis://127.0.0.1:{port}/0")


def start_kafka() -> RunningServer:
    """A Kafka-protocol broker. It holds records in memory: `stop` and `kill` lose them."""
    return RunningServer(lambda port, _folder: kafka_command(port), kafka_answers, "127.0.0.1:{port}")
