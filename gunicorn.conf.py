"""Settings of gunicorn. It reads this file in the folder in which it is started; its command line wins."""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from prometheus_client import multiprocess

from settings import load_or_exit
from tasks.storage.redis_connection import refuse_eviction

# It is one for each user, not for each server.
control_socket_disable: Final = True


def on_starting(server: Any) -> None:
    """Exit with code 2 for wrong settings: each worker would end with them, and gunicorn would start another.

    The application learns how many threads there are: some of them must be left by those who wait.
    """
    if server.cfg.preload_app:
        sys.stderr.write(
            "Wrong setting: --preload: the application starts threads, which do not survive a fork\n"
        )
        raise SystemExit(2)
    os.environ["WEB_THREADS"] = str(server.cfg.threads)
    refuse_eviction(load_or_exit())


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that has ended."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # untyped there
