"""Scoring shared by the tasks: history look-up, verdicts, and their JSON."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple

import orjson

import metrics
from errors import ScoringFailed, ServiceError
from isolation import together_or_alone
from models.features.columns import HistoryEntries
from models.scoring_batch import Batch
from readings.reading import STALE_AFTER_S, Kind, Reading, epoch_rfc3339
from tasks.storage import fleet, redis_clock
from tasks.storage.charger_attributes import Statement
from tasks.storage.reading_history import NO_ENTRIES
from tasks.storage.redis_connection import OUTAGES
from tasks.worker.runtime import Runtime

# The score of a verdict, for its metric: its field, and the factor that makes it a share.
SCORE_FIELDS: Final[dict[Kind, tuple[str, float]]] = {
    "failure": ("failure_probability", 1.0),
    "anomaly": ("anomaly_score", 0.01),
}
NO_MEMORY: Final = "Scoring needs more memory than a worker process may have."


@dataclass(slots=True, eq=False)
class Subject:
    """A reading to score, and its history. A missing fingerprint is computed when it is needed."""

    reading: Reading
    tenant: str | None
    history: HistoryEntries = NO_ENTRIES
    fingerprint: str | None = None


def name_of(subject: Subject) -> str:
    """The subject's name for the log."""
    return f"of charger {subject.reading.charger_id}"


def unit_of(source: str) -> str:
    """The unit to which an error is isolated, as labelled in `ml_unexpected_errors_total`."""
    return "row" if source == "batch" else "request"


class Verdict(NamedTuple):
    """A model's verdict for the stores. `fields` is the model's output, `body` the JSON for callers."""

    kind: Kind
    tenant: str | None
    fields: dict[str, Any]
    body: bytes


# A scored reading and one of its verdicts.
Scored = tuple[Subject, Verdict]


def predictions(scored: Sequence[Scored]) -> list[fleet.Stored]:
    """The failure verdicts and their readings, in the form that the fleet store takes."""
    return [
        (verdict.tenant, verdict.fields, verdict.body, subject.reading)
        for subject, verdict in scored
        if verdict.kind == "failure"
    ]


def encoded(
    kind: Kind, subjects: Sequence[Subject], verdicts: Sequence[dict[str, Any]], *, scored_at: float
) -> list[Verdict]:
    """The verdicts with their JSON: a model's fields, then those that the service adds to all of them.

    Raises `TypeError` for fields without a JSON form.
    """
    common: dict[tuple[str | None, bool], bytes] = {}
    found: list[Verdict] = []
    oldest_fresh = datetime.fromtimestamp(scored_at - STALE_AFTER_S, UTC)
    timestamp = epoch_rfc3339(scored_at)
    for subject, fields in zip(subjects, verdicts, strict=True):
        tenant, stale = subject.tenant, subject.reading.timestamp < oldest_fresh
        if (tenant, stale) not in common:
            added = {"tenant_id": tenant, "timestamp": timestamp, "cached": False, "degraded": False}
            common[tenant, stale] = orjson.dumps({"reading_stale": stale} | added)[1:-1]
        if subject.fingerprint is None:
            subject.fingerprint = subject.reading.fingerprint()
        # Joined as text, as copying the fields costs twice as much as encoding them.
        end = b',%b,"fingerprint":"%b"}' % (common[tenant, stale], subject.fingerprint.encode())
        found.append(Verdict(kind, tenant, fields, orjson.dumps(fields)[:-1] + end))
    return found


def store_attributes(runtime: Runtime, subjects: Sequence[Subject], *, source: str) -> None:
    """Store the attributes that readings carry. No look-up for readings without any.

    Blocks for a round trip, and two more if attributes change. Raises `redis.RedisError` in an outage of the
    main Redis.
    """
    having = [one for one in dict.fromkeys(subjects) if "attributes" in one.reading.metadata]
    if not having:
        return

    def store(some: Sequence[Subject]) -> Sequence[Subject]:
        runtime.attributes.state(
            [
                Statement(
                    subject.tenant,
                    subject.reading.charger_id,
                    subject.reading.metadata["attributes"],
                    as_of=subject.reading.timestamp.timestamp(),
                )
                for subject in some
            ]
        )
        return some

    together_or_alone(store, having, unit=unit_of(source), name=name_of, passes=OUTAGES)


def add_histories(
    runtime: Runtime, subjects: Sequence[Subject], *, source: str, among_themselves: bool = False
) -> None:
    """Set the history of each subject. It stays empty if it cannot be read.

    Blocks for one round trip. Raises `redis.RedisError` in an outage of Redis.
    """

    def history_of(some: Sequence[Subject]) -> list[HistoryEntries]:
        readings, tenants = [one.reading for one in some], [one.tenant for one in some]
        return runtime.history.of(readings, tenants, among_themselves=among_themselves)

    found = together_or_alone(history_of, subjects, unit=unit_of(source), name=name_of, passes=OUTAGES)
    for subject, history in zip(subjects, found, strict=True):
        if not isinstance(history, Exception):
            subject.history = history


def score_kinds(
    runtime: Runtime,
    kinds: Sequence[Kind],
    subjects: Sequence[Subject],
    *,
    source: str,
    is_observed: bool = True,
) -> list[list[Verdict | ServiceError]]:
    """One list of verdicts per kind, one verdict per subject, in order.

    All kinds use the same model versions, and share a frame where their features are equal. Blocks while it
    scores. An error becomes the result of its own subject only. `is_observed`: whether the readings count for
    drift and shadow.
    """
    try:
        scorer = runtime.scorer
    except ServiceError as error:
        metrics.PREDICTION_ERRORS.labels(code=error.code).inc(len(kinds) * len(subjects))
        return [[error] * len(subjects) for _ in kinds]
    history = [one.history for one in subjects]
    batch = Batch([one.reading for one in subjects], history, scored_at=redis_clock.now())

    def verdicts(kind: Kind, some: Sequence[Subject]) -> list[Verdict]:
        alone = some is not subjects
        mine = Batch([some[0].reading], [some[0].history], scored_at=batch.scored_at) if alone else batch
        return encoded(kind, some, scorer.verdicts(kind, mine), scored_at=batch.scored_at)

    scored = []
    for kind in kinds:
        started = time.perf_counter()
        found = together_or_alone(partial(verdicts, kind), subjects, unit=unit_of(source), name=name_of)
        metrics.SCORE_SECONDS.labels(kind=kind).observe(time.perf_counter() - started)
        results = [_failure(each) if isinstance(each, Exception) else each for each in found]
        failed = len(results) - sum(type(each) is Verdict for each in results)
        metrics.PREDICTIONS.labels(kind, source).inc(len(results) - failed)
        if failed:
            metrics.PREDICTION_ERRORS.labels(code=ScoringFailed.code).inc(failed)
        if kind in SCORE_FIELDS and isinstance(results[0], Verdict):
            name, factor = SCORE_FIELDS[kind]
            metrics.SCORES.labels(kind).observe(results[0].fields.get(name, 0.0) * factor)
        if is_observed:
            runtime.observer.see(kind, batch.readings, history)
        scored.append(results)
    return scored


def _failure(error: Exception) -> ServiceError:
    return ScoringFailed(f"The model could not score this reading ({type(error).__name__}).")
