"""Scoring as the tasks share it: one frame for many readings, and what the service adds to a verdict."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import metrics
from errors import ScoringFailed, ServiceError
from models.columns import Entries
from models.reading import Kind, Reading
from models.scorer import Scorer
from tasks.runtime import Runtime

log = logging.getLogger(__name__)


def score_kind(
    runtime: Runtime, kind: Kind, readings: Sequence[Reading], past: Sequence[Entries], *, door: str
) -> list[dict[str, Any] | ServiceError]:
    """One frame, one prediction. If that fails each reading is scored alone: one bad never sinks the rest."""
    started = time.perf_counter()
    try:
        scorer = runtime.scorer
    except ServiceError as error:
        metrics.PREDICTION_ERRORS.labels(code=error.code).inc(len(readings))
        return [error] * len(readings)
    results: list[dict[str, Any] | ServiceError]
    try:
        results = list(scorer.score(kind, readings, past))
    except Exception:
        log.exception("scoring %d readings together failed; scoring each alone", len(readings))
        results = [
            _score_one(scorer, kind, reading, older) for reading, older in zip(readings, past, strict=True)
        ]
    metrics.SCORE_SECONDS.labels(kind=kind).observe(time.perf_counter() - started)
    failed = sum(isinstance(result, ServiceError) for result in results)
    metrics.PREDICTIONS.labels(kind=kind, door=door).inc(len(results) - failed)
    if failed:
        metrics.PREDICTION_ERRORS.labels(code=ScoringFailed.code).inc(failed)
    runtime.observer.see(kind, readings, past)
    return results


def _score_one(scorer: Scorer, kind: Kind, reading: Reading, older: Entries) -> dict[str, Any] | ServiceError:
    try:
        return scorer.score(kind, [reading], [older])[0]
    except Exception as error:
        log.exception("reading of charger %s could not be scored", reading.charger_id)
        return ScoringFailed(f"The model could not score this reading ({type(error).__name__}).")


def stamp(tenant: str | None) -> dict[str, Any]:
    """What the service adds to every verdict of this moment."""
    return {
        "tenant_id": tenant,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "cached": False,
        "degraded": False,
    }
