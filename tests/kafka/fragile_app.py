"""The workers' Celery app, with a model that one kind of reading kills."""

from __future__ import annotations

import os
from typing import Any

from models.scorer import Scorer
from models.scoring_batch import Batch
from readings.reading import Kind
from tasks.worker.app import app

__all__ = ["app"]

_verdicts = Scorer.verdicts


def _die_of_some(self: Scorer, kind: Kind, batch: Batch) -> list[dict[str, Any]]:
    if any(reading.metadata.get("costs", {}).get("deadly") for reading in batch.readings):
        os._exit(1)
    return _verdicts(self, kind, batch)


Scorer.verdicts = _die_of_some  # type: ignore[method-assign]
