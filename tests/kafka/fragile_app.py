"""The workers' Celery app, with a model that one kind of reading kills."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from models.reading import Kind, Reading
from models.scorer import Scorer
from tasks.app import app

__all__ = ["app"]

_score = Scorer.score


def _die_of_some(self: Scorer, kind: Kind, readings: Sequence[Reading], *rest: Any) -> list[dict[str, Any]]:
    if any(reading.metadata.get("deadly") for reading in readings):
        os._exit(1)
    return _score(self, kind, readings, *rest)


Scorer.score = _die_of_some  # type: ignore[method-assign, assignment]
