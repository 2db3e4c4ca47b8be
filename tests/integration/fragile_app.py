"""The worker app, with a scorer that readings with `{"fault": "kills"|"hangs"}` in their metadata upset."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from celery.signals import worker_process_init

from models.reading import Kind, Reading
from models.scorer import Scorer
from tasks.app import app

HANG_S = 60

__all__ = ["app"]

_score = Scorer.score


def _fragile(
    self: Scorer, kind: Kind, readings: Sequence[Reading], *args: Any, **kwargs: Any
) -> list[dict[str, Any]]:
    faults = {reading.metadata.get("fault") for reading in readings}
    if "kills" in faults:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hangs" in faults:
        time.sleep(HANG_S)
    return _score(self, kind, readings, *args, **kwargs)


@worker_process_init.connect
def _break(**_: Any) -> None:
    Scorer.score = _fragile  # type: ignore[method-assign]
