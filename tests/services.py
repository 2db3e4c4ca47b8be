"""Real servers for tests: embedded Redis and Kafka on free ports, each in a folder of its own.

    with start_redis() as redis:
        client = Redis.from_url(redis.url)

They share no port and no file with a running `make run`, and end with the test process, even by kill -9.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from stack.servers import kafka_answers, kafka_command, redis_answers, redis_command
from tests.processes import Process, free_port
from tests.tcp_proxy import TcpProxy


class Server(Protocol):
    """What a service needs of a server, and a fault does to it."""

    @property
    def url(self) -> str: ...
    def restart(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class RunningServer:
    """One server process. `url` is what clients are given: a Redis URL, or a Kafka `host:port`."""

    def __init__(
        self,
        command: Callable[[int, Path], list[str]],
        answers: Callable[[int], bool],
        url: str,
        *,
        start_timeout_s: float = 10.0,
        stop_timeout_s: float = 5.0,
    ) -> None:
        self._command = command
        self._answers = answers
        self._url = url
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self.folder = Path(tempfile.mkdtemp(prefix="evzone-test-"))
        self._process = self._start_on_free_port()

    @property
    def url(self) -> str:
        return self._url.format(port=self.port)

    def restart(self) -> None:
        """Start again after `stop` or `kill`, on the same port with the same folder."""
        self._process = self._start()
        if not self._came_up():
            raise RuntimeError(f"The server did not come back on port {self.port}.\n{self.log()}")

    def stop(self) -> None:
        """End the server in good order (SIGTERM). Does nothing if it has ended."""
        try:
            self._process.end(self._stop_timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL)."""
        self._process.kill()

    def pause(self) -> None:
        """Make the server mute: connections are accepted (by the kernel), nothing is answered."""
        self._process.signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server answer again."""
        self._process.signal_all(signal.SIGCONT)

    def close(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def has_ended(self) -> bool:
        """Whether the server is down."""
        return self._process.has_ended()

    def log(self) -> str:
        """The server's output, over all its starts."""
        return self._process.log()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_on_free_port(self) -> Process:
        for _ in range(5):  # another process may take the port between our look and the server's bind
            self.port = free_port()
            self._process = self._start()
            if self._came_up():
                return self._process
            self.stop()
        raise RuntimeError(f"The server did not start.\n{self.log()[-3000:]}")

    def _start(self) -> Process:
        return Process(
            self._command(self.port, self.folder),
            os.environ,
            directory=self.folder,
            log_file=self.folder / "server.log",
        )

    def _came_up(self) -> bool:
        deadline = time.monotonic() + self._start_timeout_s
        while time.monotonic() < deadline and not self._process.has_ended():
            if self._answers(self.port):
                # The answer must be our own server's, not that of one that took the port before it.
                return not self._process.has_ended()
            time.sleep(0.02)
        return False


def start_redis() -> RunningServer:
    """A Redis-protocol server with the settings of `make run` (append-only file, no eviction)."""
    return RunningServer(redis_command, redis_answers, "redis://127.0.0.1:{port}/0")


def start_kafka(behind: TcpProxy | None = None) -> RunningServer:
    """A Kafka-protocol broker. It holds records in memory: `stop` and `kill` lose them.

    `behind` is a proxy that gets the broker as its target. The broker sends all clients there.
    """

    def command(port: int, _folder: Path) -> list[str]:
        if behind is None:
            return kafka_command(port)
        behind.target_port = port
        return kafka_command(port, advertised_port=behind.port)

    return RunningServer(command, kafka_answers, "127.0.0.1:{port}")
