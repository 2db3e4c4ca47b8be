"""The task for single predictions and the stream: decode, score, store, encode, reply.

A verdict depends only on the model version, the reading and older readings of its charger. So running a task
twice is harmless. The models are read once per task, so that no reply mixes two versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import metrics
import tracing
from errors import PredictionTimeout, ScoringFailed, ServiceError
from isolation import together_or_alone
from readings.reading import Kind
from tasks.messaging.messages import (
    HEADLINE_FIELDS,
    ScoreMessage,
    ScoreRequest,
    ScoreResult,
    encode_reply,
    to_reply,
)
from tasks.messaging.names import Queues, TaskNames
from tasks.storage import redis_clock
from tasks.storage.redis_connection import Command
from tasks.worker.app import app
from tasks.worker.expiry import ExpiringRequest
from tasks.worker.intake import reading_arguments
from tasks.worker.runtime import Runtime, current
from tasks.worker.scoring import (
    NO_MEMORY,
    Scored,
    Subject,
    add_histories,
    name_of,
    predictions,
    score_kinds,
    store_attributes,
    unit_of,
)


@app.task(name=TaskNames.SCORE, ignore_result=True, Request="tasks.worker.score:ScoringTaskRequest")
def score(raw: dict[str, Any]) -> None:
    """Score the readings of one `ScoreMessage`, store the verdicts, push the reply to the reply list.

    Raises `NewerSchema` for a newer message schema and `redis.RedisError` in an outage. The client receives
    any exception as a lost task (`tasks/worker/lost.py`).
    """
    runtime = current()
    with reading_arguments(TaskNames.SCORE):
        message = ScoreMessage.decode(raw)
        waited_s = max(0.0, redis_clock.now() - message.sent_at)
    queue = Queues.STREAM if message.source == "kafka" else Queues.SINGLE
    metrics.QUEUE_SECONDS.labels(queue=queue).observe(waited_s)
    seen: tracing.Attributes = {
        "messaging.destination.name": queue,
        "celery.task_id": score.request.id or "",
        "evzone.requests": len(message.score_requests),
    }
    with tracing.task(TaskNames.SCORE, message.traces, waited_s=waited_s, attributes=seen):
        try:
            _score(runtime, message)
        except MemoryError:
            raise ScoringFailed(NO_MEMORY) from None  # Celery would end the whole worker


def _score(runtime: Runtime, message: ScoreMessage) -> None:
    asked = asked_of(message.score_requests)
    with tracing.phase("read_history"):
        # A reading that is not stored counts for itself alone.
        storing, others = _apart(message, asked)
        add_histories(runtime, storing, source=message.source, among_themselves=True)
        if others:
            add_histories(runtime, others, source=message.source)
    with tracing.phase("score"):
        answers, stored = answer_all(runtime, message, asked)
    with tracing.phase("store_and_reply"):
        # Stored before the reply, so that a caller with an answer finds it in the cache.
        commands: list[Command] = []
        if message.store:
            store_attributes(runtime, [subject for subject, _ in stored], source=message.source)
            commands = _to_store(runtime, stored, source=message.source)
        commands.append(to_reply(message.reply_to, encode_reply(message.batch_id, answers)))
        runtime.connection.execute(*commands)


class Asked(NamedTuple):
    """A reading, and the indexes of its requests in the message."""

    subject: Subject
    indexes: list[int]


def asked_of(score_requests: Sequence[ScoreRequest]) -> list[Asked]:
    """Group adjacent requests by reading (`ScoreMessage.decode` shares the object)."""
    found: list[Asked] = []
    for index, request in enumerate(score_requests):
        before = score_requests[index - 1]
        is_same = before.tenant == request.tenant and before.store == request.store
        if found and before.reading is request.reading and is_same:
            found[-1].indexes.append(index)
        else:
            found.append(
                Asked(Subject(request.reading, request.tenant, fingerprint=request.fingerprint), [index])
            )
    return found


def _apart(message: ScoreMessage, asked: Sequence[Asked]) -> tuple[list[Subject], list[Subject]]:
    """The subjects that are stored, and the others."""
    stored: list[Subject] = []
    others: list[Subject] = []
    for subject, indexes in asked:
        (stored if message.score_requests[indexes[0]].store else others).append(subject)
    return stored, others


def answer_all(
    runtime: Runtime, message: ScoreMessage, asked: Sequence[Asked]
) -> tuple[list[ScoreResult], list[Scored]]:
    """The result of each request, in order, and the verdicts to store."""
    score_requests = message.score_requests
    answers: dict[int, ScoreResult] = {}
    stored: list[Scored] = []
    now = redis_clock.now()
    # Only the consumer opens alerts.
    thresholds = runtime.alert_thresholds if message.source == "kafka" else {}
    # Readings with the same kinds are scored together.
    by_kinds: dict[tuple[tuple[Kind, ...], bool], list[Asked]] = {}
    for subject, indexes in asked:
        waiting = [index for index in indexes if score_requests[index].expires_at >= now]
        if waiting:
            kinds = tuple(score_requests[index].kind for index in waiting)
            store = score_requests[waiting[0]].store
            by_kinds.setdefault((kinds, store), []).append(Asked(subject, waiting))
    for (kinds, store), some in by_kinds.items():
        scored = score_kinds(
            runtime, kinds, [each.subject for each in some], source=message.source, is_observed=store
        )
        for (subject, indexes), *results in zip(some, *scored, strict=True):
            for index, result in zip(indexes, results, strict=True):
                if isinstance(result, ServiceError):
                    answers[index] = _failure(result)
                else:
                    answers[index] = ScoreResult(
                        result.body,
                        headline_score=result.fields.get(HEADLINE_FIELDS.get(result.kind, "")),
                        alert_at=thresholds.get(result.fields["model_version"]) if thresholds else None,
                    )
                    if store:
                        stored.append((subject, result))
    late = _failure(PredictionTimeout("The caller has stopped waiting."))
    return [answers.get(index, late) for index in range(len(score_requests))], stored


def _failure(error: ServiceError) -> ScoreResult:
    return ScoreResult(error_code=error.code, error_detail=str(error))


def _to_store(runtime: Runtime, stored: Sequence[Scored], *, source: str) -> list[Command]:
    """The Redis commands that store verdicts and readings.

    Verdicts for a cache with its own Redis are written here. A verdict that cannot be stored is still
    returned to its caller.
    """
    commands: list[Command] = []

    def add(some: Sequence[Scored]) -> Sequence[Scored]:
        verdicts = [verdict for _, verdict in some]
        readings = [(one.tenant, one.reading) for one in dict.fromkeys(subject for subject, _ in some)]
        added = runtime.history.to_store(readings) + runtime.fleet.to_store(predictions(some))
        if runtime.cache.with_the_rest:
            added = runtime.cache.to_store(verdicts) + added
        else:
            runtime.cache.put_all(verdicts)
        commands.extend(added)
        return some

    together_or_alone(add, stored, unit=unit_of(source), name=lambda scored: name_of(scored[0]))
    return commands


class ScoringTaskRequest(ExpiringRequest):
    """A task request without acknowledgement on the queue of single predictions.

    Kombu keeps no copy of these messages (celeryconfig.py). It would still ask Redis to delete one, in a
    transaction and a round trip per task.
    """

    def acknowledge(self) -> None:
        """Mark the task acknowledged; on other queues, acknowledge it in the broker."""
        if self.delivery_info["routing_key"] == Queues.SINGLE:
            self.acknowledged = True
        else:
            super().acknowledge()
