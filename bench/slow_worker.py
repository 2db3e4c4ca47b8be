"""The workers' Celery app with a slow scorer: `READINGS_A_SECOND=500 celery -A bench.slow_worker`."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from celery.signals import worker_process_init

from models.scorer import Scorer
from models.scoring_batch import Batch
from readings.reading import Kind
from tasks.worker.app import app

READINGS_A_SECOND: Final = float(os.environ["READINGS_A_SECOND"])

__all__ = ["app"]

_verdicts = Scorer.verdicts


def _slow(self: Scorer, kind: Kind, batch: Batch) -> list[dict[str, Any]]:
    over = time.monotonic() + len(batch.readings) / READINGS_A_SECOND
    verdicts = _verdicts(self, kind, batch)
    time.sleep(max(0.0, over - time.monotonic()))
    return verdicts


@worker_process_init.connect
def _slow_down(**_: Any) -> None:
    Scorer.verdicts = _slow  # type: ignore[method-assign]  # the slowness that is measured
