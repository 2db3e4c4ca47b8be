"""The task behind single predictions and the stream: decode, score, store, encode, reply.

Scoring is pure: it depends on the model version, the reading and its older neighbours alone, so a task that
runs twice does no harm. The models are taken once for a task, so that no answer mixes two versions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from celery.worker.request import Request

import metrics
from errors import PredictionTimeout, ServiceError
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
from tasks.storage.redis_connection import Command
from tasks.worker.app import app
from tasks.worker.runtime import Runtime, current
from tasks.worker.scoring import Subject, Verdict, add_histories, name_of, predictions, score_kinds, unit_of

Scored = tuple[Subject, Verdict]


@app.task(name=TaskNames.SCORE, ignore_result=True, Request="tasks.worker.score:ScoringTaskRequest")
def score(raw: dict[str, Any]) -> None:
    """Score the readings of one `ScoreMessage`, fill cache and fleet store, answer on the reply list."""
    runtime = current()
    message = ScoreMessage.decode(raw)
    queue = Queues.STREAM if message.source == "kafka" else Queues.SINGLE
    metrics.QUEUE_SECONDS.labels(queue=queue).observe(max(0.0, time.time() - message.sent_at))
    asked = asked_of(message.score_requests)
    add_histories(runtime, [each.subject for each in asked], source=message.source, among_themselves=True)
    answers, stored = answer_all(runtime, message, asked)
    # All before the reply, so that a caller who has an answer finds it in the cache.
    commands = _to_store(runtime, stored, source=message.source) if message.store else []
    commands.append(to_reply(message.reply_to, encode_reply(message.batch_id, answers)))
    runtime.connection.execute(*commands)


class Asked(NamedTuple):
    """A reading, and the places of the asks about it in their message."""

    subject: Subject
    indexes: list[int]


def asked_of(score_requests: Sequence[ScoreRequest]) -> list[Asked]:
    """The readings of a message: asks about one of them stand side by side (`ScoreMessage.decode`)."""
    found: list[Asked] = []
    for index, request in enumerate(score_requests):
        before = score_requests[index - 1]
        if found and before.reading is request.reading and before.tenant == request.tenant:
            found[-1].indexes.append(index)
        else:
            found.append(
                Asked(Subject(request.reading, request.tenant, fingerprint=request.fingerprint), [index])
            )
    return found


def answer_all(
    runtime: Runtime, message: ScoreMessage, asked: Sequence[Asked]
) -> tuple[list[ScoreResult], list[Scored]]:
    """An answer for each ask, in order, and the verdicts that are worth storing."""
    score_requests = message.score_requests
    answers: dict[int, ScoreResult] = {}
    stored: list[Scored] = []
    now = time.time()
    # Readings of which the same is asked are scored together.
    by_kinds: dict[tuple[Kind, ...], list[Asked]] = {}
    for subject, indexes in asked:
        waiting = [index for index in indexes if score_requests[index].expires_at >= now]
        if waiting:
            kinds = tuple(score_requests[index].kind for index in waiting)
            by_kinds.setdefault(kinds, []).append(Asked(subject, waiting))
    for kinds, some in by_kinds.items():
        scored = score_kinds(runtime, kinds, [each.subject for each in some], source=message.source)
        for (subject, indexes), *results in zip(some, *scored, strict=True):
            for index, result in zip(indexes, results, strict=True):
                if isinstance(result, ServiceError):
                    answers[index] = _failure(result)
                else:
                    answers[index] = ScoreResult(
                        result.body, headline_score=result.fields.get(HEADLINE_FIELDS.get(result.kind, ""))
                    )
                    stored.append((subject, result))
    late = _failure(PredictionTimeout("The caller has stopped waiting."))
    return [answers.get(index, late) for index in range(len(score_requests))], stored


def _failure(error: ServiceError) -> ScoreResult:
    return ScoreResult(error_code=error.code, error_detail=str(error))


def _to_store(runtime: Runtime, stored: Sequence[Scored], *, source: str) -> list[Command]:
    """The commands that store verdicts and readings. A cache with a Redis of its own has stored them then.

    A verdict that cannot be stored is still answered.
    """
    commands: list[Command] = []

    def add(some: Sequence[Scored]) -> Sequence[Scored]:
        verdicts = [verdict for _, verdict in some]
        readings = [(one.tenant, one.reading) for one in dict.fromkeys(subject for subject, _ in some)]
        added = runtime.history.to_store(readings) + runtime.fleet.to_store(predictions(verdicts))
        if runtime.cache.with_the_rest:
            added = runtime.cache.to_store(verdicts) + added
        else:
            runtime.cache.put_all(verdicts)
        commands.extend(added)
        return some

    together_or_alone(add, stored, unit=unit_of(source), name=lambda scored: name_of(scored[0]))
    return commands


class ScoringTaskRequest(Request):
    """Acknowledges nothing on the queue of single predictions, where kombu keeps no copy (celeryconfig.py).

    Kombu would still ask Redis to delete one: a transaction, and a round trip, for each task.
    """

    def acknowledge(self) -> None:
        if self.delivery_info["routing_key"] == Queues.SINGLE:
            self.acknowledged = True
        else:
            super().acknowledge()
