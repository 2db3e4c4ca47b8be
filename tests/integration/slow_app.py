"""The worker app, with a scorer that takes `SLOW_S` seconds (from the environment) for a reading."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from celery.signals import worker_process_init

from models.scorer import Scorer
from models.scoring_batch import Batch
from readings.reading import Kind
from tasks.worker.app import app

SLOW_S: Final = float(os.environ["SLOW_S"])

__all__ = ["app"]

_verdicts = Scorer.verdicts


def _slow(self: Scorer, kind: Kind, batch: Batch) -> list[dict[str, Any]]:
    time.sleep(SLOW_S * len(batch.readings))
    return _verdicts(self, kind, batch)


@worker_process_init.connect
def _slow_down(**_: Any) -> None:
    Scorer.verdicts = _slow  # type: ignore[method-assign]  # slow on purpose
