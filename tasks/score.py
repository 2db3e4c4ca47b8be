"""The task behind single predictions and the stream: decode, score, store, encode, reply.

Scoring is pure: it depends on the model version, the reading and its older neighbours alone, so a task that
runs twice does no harm. The models are taken once for a task, so that no answer mixes two versions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import orjson

import metrics
from errors import PredictionTimeout, ServiceError
from models.columns import Entries
from models.reading import Kind
from tasks.app import app, current
from tasks.messages import Answer, Ask, ScoreMessage, encode_reply
from tasks.names import Queues, TaskNames
from tasks.runtime import Runtime
from tasks.scoring import score_kind, stamp

# A reply that nobody fetches (its asker died) is gone after this long.
REPLY_TTL_S: Final = 30


@app.task(name=TaskNames.SCORE, ignore_result=True, Request="tasks.requests:ScoreRequest")
def score(raw: dict[str, Any]) -> None:
    """Score the readings of one `ScoreMessage`, fill cache and fleet store, answer on the reply list."""
    runtime = current()
    message = ScoreMessage.decode(raw)
    queue = Queues.STREAM if message.door == "kafka" else Queues.SINGLE
    metrics.QUEUE_SECONDS.labels(queue=queue).observe(max(0.0, time.time() - message.sent_at))
    readings = [ask.reading for ask in message.asks]
    past = runtime.history.of(readings, [ask.tenant for ask in message.asks], among_themselves=True)
    answers, stored = answer_all(runtime, message, past)
    pipeline = runtime.redis.pipeline(transaction=False)
    if message.store:
        # Before the reply, so that a caller who has an answer finds it in the cache.
        runtime.cache.put_all(
            [(ask.kind, ask.tenant, verdict, body) for ask, verdict, body in stored], along=pipeline
        )
        runtime.history.add(pipeline, [(ask.tenant, ask.reading) for ask, _, _ in stored])
        predictions = [(ask.tenant, verdict, body) for ask, verdict, body in stored if ask.kind == "failure"]
        runtime.fleet.put(pipeline, predictions)
    pipeline.rpush(message.reply_to, encode_reply(message.batch_id, answers))
    pipeline.expire(message.reply_to, REPLY_TTL_S)
    pipeline.execute()


def answer_all(
    runtime: Runtime, message: ScoreMessage, past: Sequence[Entries]
) -> tuple[list[Answer], list[tuple[Ask, dict[str, Any], bytes]]]:
    """An answer for each reading, in order, and what is worth storing of them."""
    answers: dict[int, Answer] = {}
    stored: list[tuple[Ask, dict[str, Any], bytes]] = []
    now = time.time()
    by_kind: dict[Kind, list[int]] = {}
    for index, ask in enumerate(message.asks):
        if ask.expires_at < now:
            answers[index] = _failure(PredictionTimeout("The caller has stopped waiting."))
        else:
            by_kind.setdefault(ask.kind, []).append(index)
    for kind, indexes in by_kind.items():
        asks = [message.asks[index] for index in indexes]
        verdicts = score_kind(
            runtime,
            kind,
            [ask.reading for ask in asks],
            [past[index] for index in indexes],
            door=message.door,
        )
        for index, ask, verdict in zip(indexes, asks, verdicts, strict=True):
            if isinstance(verdict, ServiceError):
                answers[index] = _failure(verdict)
                continue
            dressed = verdict | stamp(ask.tenant) | {"fingerprint": ask.fingerprint}
            body = orjson.dumps(dressed)
            answers[index] = Answer(body=body)
            stored.append((ask, dressed, body))
    return [answers[index] for index in range(len(message.asks))], stored


def _failure(error: ServiceError) -> Answer:
    return Answer(error_code=error.code, error_detail=str(error))
