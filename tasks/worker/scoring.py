"""Scoring as the tasks share it: one frame for many readings, and what the service adds to a verdict."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import metrics
from errors import ScoringFailed, ServiceError
from models.features.columns import Entries
from models.scorer import Scorer
from models.scoring_batch import Batch
from readings.reading import Kind, Reading, rfc3339
from tasks.worker.runtime import Runtime

log = logging.getLogger(__name__)


def score_kinds(
    runtime: Runtime,
    kinds: Sequence[Kind],
    readings: Sequence[Reading],
    past: Sequence[Entries],
    *,
    door: str,
) -> list[list[dict[str, Any] | ServiceError]]:
    """For each kind one verdict a reading, all of the same versions, from one frame where models share it.

    If a kind cannot be scored together each reading is scored alone: one bad never sinks the rest.
    """
    try:
        scorer = runtime.scorer
    except ServiceError as error:
        metrics.PREDICTION_ERRORS.labels(code=error.code).inc(len(kinds) * len(readings))
        return [[error] * len(readings) for _ in kinds]
    batch = Batch(readings, past)
    scored = []
    for kind in kinds:
        started = time.perf_counter()
        results: list[dict[str, Any] | ServiceError]
        try:
            results = list(scorer.verdicts(kind, batch))
        except Exception:
            log.exception("scoring %d readings together failed; scoring each alone", len(readings))
            results = [
                _score_one(scorer, kind, reading, older)
                for reading, older in zip(readings, past, strict=True)
            ]
        metrics.SCORE_SECONDS.labels(kind=kind).observe(time.perf_counter() - started)
        failed = sum(isinstance(result, ServiceError) for result in results)
        metrics.PREDICTIONS.labels(kind=kind, door=door).inc(len(results) - failed)
        if failed:
            metrics.PREDICTION_ERRORS.labels(code=ScoringFailed.code).inc(failed)
        runtime.observer.see(kind, readings, past)
        scored.append(results)
    return scored


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
        "timestamp": rfc3339(datetime.now(UTC)),
        "cached": False,
        "degraded": False,
    }
