"""One side of a comparison: the service of one checkout, started like `make run`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dotenv import dotenv_values

from bench.checkouts import Checkout
from bench.measure import answers, cpu_seconds, process_tree
from settings import ROOT
from stack.die_with_parent import bound_to_parent
from tests.processes import free_port

FOLDER: Final = ROOT / "build" / "bench-compare"
KEY: Final = "key-for-the-comparison"
READY_WITHIN_S: Final = 180.0
LOOK_EVERY_S: Final = 0.2
LOG_CHARACTERS_SHOWN: Final = 2_000


class Side:
    """Web, workers, consumer, Flower and embedded servers of one checkout, on free ports, without state.

    The constructor starts them and does not wait.
    """

    def __init__(self, name: str, checkout: Checkout, added: Mapping[str, str] | None = None) -> None:
        """`added` is set in this side's environment alone."""
        self.name = name
        self._added = added or {}
        self._folder = FOLDER / name
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._temporary = tempfile.TemporaryDirectory(prefix="evzone-")  # sockets require a short path
        self._ports = {
            setting: free_port() for setting in ("PORT", "REDIS_PORT", "KAFKA_PORT", "FLOWER_PORT")
        }
        self.url = f"http://127.0.0.1:{self._ports['PORT']}"
        self.kafka = f"127.0.0.1:{self._ports['KAFKA_PORT']}"
        self._log = self._folder / "run.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                bound_to_parent([str(checkout.python), "-m", "stack", "run"]),
                cwd=checkout.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        """Block until predictions and Flower are served. Raises `RuntimeError` with the end of the log."""
        waiting_for = [
            f"{self.url}/health/ready",
            f"http://127.0.0.1:{self._ports['FLOWER_PORT']}/healthcheck",
        ]
        deadline = time.monotonic() + READY_WITHIN_S
        while waiting_for:
            if answers(waiting_for[0]):
                waiting_for.pop(0)
            elif self._process.poll() is not None or time.monotonic() > deadline:
                end = self._log.read_text(errors="replace")[-LOG_CHARACTERS_SHOWN:]
                raise RuntimeError(f"The {self.name} side did not come up: {waiting_for[0]}\n{end}")
            else:
                time.sleep(LOOK_EVERY_S)

    def cpu_s(self) -> float:
        """Return the CPU seconds of all processes so far."""
        return cpu_seconds(process_tree(self._process.pid))

    def results_file(self) -> Path:
        """Return the path for a job's results."""
        return self._folder / "results.parquet"

    def stop(self) -> None:
        """Kill all processes; their state is not used again. Blocks until all have ended."""
        pids = process_tree(self._process.pid)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(_lives(pid) for pid in pids):
            time.sleep(0.02)
        self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _environment(self) -> dict[str, str]:
        """Equal environments for both sides: this tree's .env, with separate servers, ports and folders."""
        base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        base |= {name: value for name, value in dotenv_values(ROOT / ".env").items() if value is not None}
        base |= {name: str(port) for name, port in self._ports.items()}
        return base | {
            "ENVIRONMENT": "development",
            "ML_SERVICE_API_KEY": KEY,
            "FLOWER_BASIC_AUTH": "bench:bench-bench",
            "REDIS_URL": "",
            "REDIS_CACHE_URL": "",
            "KAFKA_BOOTSTRAP_SERVERS": "",
            "STATE_DIR": str(self._folder / "state"),
            "TMPDIR": self._temporary.name,
            **self._added,
        }


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
