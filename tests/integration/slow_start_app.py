"""The worker app, whose parent process connects only while a file exists, and whose replaced child is slow.

`CONNECTS_WHILE` is the path of the file. With `SLOW_TO_REPLACE_S`, each child but the first one takes so many
seconds to start.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery.signals import worker_before_create_process, worker_process_init

from tasks.worker import intake
from tasks.worker.app import app

POLL_S = 0.05

__all__ = ["app"]

_ensure_connected = intake.TaskConsumer.ensure_connected
_children = 0


def _wait_and_connect(self: intake.TaskConsumer, conn: Any) -> Any:
    file = os.environ.get("CONNECTS_WHILE")
    while file and not Path(file).exists():
        time.sleep(POLL_S)
    return _ensure_connected(self, conn)


@worker_before_create_process.connect
def _count(**_: Any) -> None:
    global _children
    _children += 1


@worker_process_init.connect
def _start_slowly(**_: Any) -> None:
    if _children > 1:
        time.sleep(float(os.environ.get("SLOW_TO_REPLACE_S", "0")))


intake.TaskConsumer.ensure_connected = _wait_and_connect  # type: ignore[method-assign]  # the delay that is caused
