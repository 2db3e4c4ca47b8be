"""The models of a web process, for single predictions while no worker can answer.

The only module outside the workers that loads models; `tasks/client/degraded.py` decides when they score.
Scores have no history, because it is in Redis.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

import metrics
from errors import ModelsUnavailable, ScoringFailed, ServiceError
from isolation import together_or_alone
from readings.reading import STALE_AFTER_S, Kind, epoch_rfc3339
from settings import Settings
from tasks.messaging.messages import ScoreRequest, ScoreResult

if TYPE_CHECKING:
    from models.scorer import Scorer

log = logging.getLogger(__name__)

# Interval of checks of the model folder, as in a worker.
LOOK_EVERY_S: Final = 10.0


class LocalScorer:
    """The active models. Use in one thread; `able` may be read in any."""

    def __init__(self, settings: Settings) -> None:
        self._model_dir = settings.model_dir
        self._costs = settings.costs
        self._scorer: Scorer | None = None
        self._looked_at: float | None = None

    @property
    def able(self) -> bool:
        """Whether models are loaded."""
        return self._scorer is not None

    def look(self) -> None:
        """Load the active versions if they have changed since the last look, at most every 10 s.

        Blocks for about a second while it loads. In place of one that is refused, another one serves.
        """
        now = time.monotonic()
        if self._looked_at is not None and now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        # Imported here: a web process without degraded scoring loads no model library.
        from models import fallback

        before = self._scorer
        try:
            if before is not None and before.is_active(self._model_dir):
                return
            scorer = fallback.load(self._model_dir, self._costs, before)
        except (ServiceError, OSError) as error:
            log.warning("no models for degraded scoring: %s", error)
            return
        for refused in scorer.refused:
            log.warning("not loaded for degraded scoring: %s", refused.problem)
        if before is None or not scorer.has_models_of(before):
            log.info("models loaded for degraded scoring: %s", scorer.versions)
        self._scorer = scorer

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult | Exception]:
        """The result of each request, in order. Blocks while it scores.

        The verdicts say `degraded: true`. An error becomes the result of its own request only.
        """
        if self._scorer is None:
            return [ModelsUnavailable("No model is loaded in this process.") for _ in requests]
        found: list[ScoreResult | Exception] = [ScoringFailed("Not scored.")] * len(requests)
        for kind in dict.fromkeys(request.kind for request in requests):
            indexes = [index for index, request in enumerate(requests) if request.kind == kind]
            results = together_or_alone(
                partial(_results, self._scorer, kind),
                [requests[index] for index in indexes],
                unit="request",
                name=lambda request: f"of charger {request.reading.charger_id}",
            )
            for index, result in zip(indexes, results, strict=True):
                found[index] = _checked(result)
        return found


def _results(scorer: Scorer, kind: Kind, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
    scored_at = time.time()
    verdicts = scorer.score(kind, [request.reading for request in requests], scored_at=scored_at)
    return [
        ScoreResult(orjson.dumps(fields | _added(request, scored_at)))
        for request, fields in zip(requests, verdicts, strict=True)
    ]


def _added(request: ScoreRequest, scored_at: float) -> dict[str, Any]:
    """The fields that the service adds. Without a fingerprint, no cache takes the verdict for its own."""
    return {
        "reading_stale": request.reading.timestamp.timestamp() < scored_at - STALE_AFTER_S,
        "tenant_id": request.tenant,
        "timestamp": epoch_rfc3339(scored_at),
        "cached": False,
        "degraded": True,
        "fingerprint": None,
    }


def _checked(result: ScoreResult | Exception) -> ScoreResult | Exception:
    if isinstance(result, ScoreResult):
        return result
    metrics.PREDICTION_ERRORS.labels(code=ScoringFailed.code).inc()
    return ScoringFailed(f"The model could not score this reading ({type(result).__name__}).")
