"""The worker app, with a scorer that some readings upset.

The word `fault` in `metadata.costs` says how: `kills` (SIGKILL), `crashes` (a fault in native code), `eats`
(memory, until there is none), `hangs` or `raises`. Results of a charger whose id begins with `EATS-LATE` eat
memory when they are stored.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Any
from unittest import mock

from celery.signals import worker_process_init

from models.scorer import Scorer
from models.scoring_batch import Batch
from readings.reading import Kind
from tasks.jobs import chunks
from tasks.jobs.job_keys import pack
from tasks.worker.app import app

HANG_S = 60
EATEN_AT_ONCE_BYTES = 1 << 24
EATS_LATE = b"EATS-LATE"

__all__ = ["app"]

_verdicts = Scorer.verdicts


def _eat() -> None:
    eaten = []
    while True:
        eaten.append(b"x" * EATEN_AT_ONCE_BYTES)


def _fragile_pack(data: bytes) -> bytes:
    if EATS_LATE in data:
        _eat()
    return pack(data)


def _fragile(self: Scorer, kind: Kind, batch: Batch) -> list[dict[str, Any]]:
    faults = {reading.metadata.get("costs", {}).get("fault") for reading in batch.readings}
    if "kills" in faults:
        os.kill(os.getpid(), signal.SIGKILL)
    if "crashes" in faults:
        ctypes.string_at(0)
    if "eats" in faults:
        _eat()
    if "hangs" in faults:
        time.sleep(HANG_S)
    if "raises" in faults:
        raise RuntimeError("an error that no code expects")
    return _verdicts(self, kind, batch)


@worker_process_init.connect
def _break(**_: Any) -> None:
    Scorer.verdicts = _fragile  # type: ignore[method-assign]  # the fault that is caused
    mock.patch.object(chunks, "pack", _fragile_pack).start()
