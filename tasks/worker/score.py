"""The task behind single predictions and the stream: decode, score, store, encode, reply.

Scoring is pure: it depends on the model version, the reading and its older neighbours alone, so a task that
runs twice does no harm. The models are taken once for a task, so that no answer mixes two versions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import orjson
from redis.exceptions import ConnectionError, TimeoutError

import metrics
from errors import PredictionTimeout, ScoringFailed, ServiceError
from models.features.columns import Entries
from readings.reading import Kind
from tasks.client.reply_listener import to_reply
from tasks.messaging.messages import GIST, Answer, Ask, ScoreMessage, encode_reply
from tasks.messaging.names import Queues, TaskNames
from tasks.storage.reading_history import NO_ENTRIES
from tasks.storage.redis_connection import Command
from tasks.worker.app import app, current
from tasks.worker.runtime import Runtime
from tasks.worker.scoring import score_kinds, stamp

log = logging.getLogger(__name__)


@app.task(name=TaskNames.SCORE, ignore_result=True, Request="tasks.worker.requests:ScoreRequest")
def score(raw: dict[str, Any]) -> None:
    """Score the readings of one `ScoreMessage`, fill cache and fleet store, answer on the reply list."""
    runtime = current()
    message = ScoreMessage.decode(raw)
    queue = Queues.STREAM if message.door == "kafka" else Queues.SINGLE
    metrics.QUEUE_SECONDS.labels(queue=queue).observe(max(0.0, time.time() - message.sent_at))
    subjects = subjects_of(message.asks)
    past = _past(runtime, [message.asks[places[0]] for places in subjects])
    answers, stored = answer_all(runtime, message, subjects, past)
    # All before the reply, so that a caller who has an answer finds it in the cache.
    commands = _to_store_each(runtime, stored) if message.store else []
    commands.append(to_reply(message.reply_to, encode_reply(message.batch_id, answers)))
    runtime.line.ask(*commands)


def _past(runtime: Runtime, subjects: Sequence[Ask]) -> list[Entries]:
    """The past of each subject; none where it cannot be read, for example a key of another type.

    Raises `RedisError` where Redis cannot be reached: then the task is another worker's.
    """
    try:
        readings, tenants = [ask.reading for ask in subjects], [ask.tenant for ask in subjects]
        return runtime.history.of(readings, tenants, among_themselves=True)
    except (ConnectionError, TimeoutError):
        raise
    except Exception:
        if len(subjects) > 1:
            return [entries for ask in subjects for entries in _past(runtime, [ask])]
        metrics.UNEXPECTED_ERRORS.labels(unit="request").inc()
        log.exception("the history of charger %s cannot be read", subjects[0].reading.charger_id)
        return [NO_ENTRIES]


def _to_store_each(runtime: Runtime, stored: Sequence[tuple[Ask, dict[str, Any], bytes]]) -> list[Command]:
    """`_to_store`, and each verdict alone where that fails. One that cannot be stored is still answered."""
    try:
        return _to_store(runtime, stored)
    except Exception:
        if len(stored) > 1:
            return [command for one in stored for command in _to_store_each(runtime, [one])]
        metrics.UNEXPECTED_ERRORS.labels(unit="request").inc()
        log.exception("a verdict on charger %s could not be stored", stored[0][0].reading.charger_id)
        return []


def _to_store(runtime: Runtime, stored: Sequence[tuple[Ask, dict[str, Any], bytes]]) -> list[Command]:
    """The commands that store verdicts and readings. A cache with a Redis of its own has stored them then."""
    commands: list[Command] = []
    verdicts = [(ask.kind, ask.tenant, verdict, body) for ask, verdict, body in stored]
    if runtime.cache.with_the_rest:
        commands += runtime.cache.to_store(verdicts)
    else:
        runtime.cache.put_all(verdicts)
    readings = {(ask.tenant, id(ask.reading)): (ask.tenant, ask.reading) for ask, _, _ in stored}
    commands += runtime.history.to_store(list(readings.values()))
    predictions = [(ask.tenant, verdict, body) for ask, verdict, body in stored if ask.kind == "failure"]
    return commands + runtime.fleet.to_store(predictions)


def subjects_of(asks: Sequence[Ask]) -> list[list[int]]:
    """For each reading the places of the asks about it, which `ScoreMessage.decode` lets share it."""
    found: list[list[int]] = []
    for place, ask in enumerate(asks):
        before = asks[place - 1]
        if found and before.reading is ask.reading and before.tenant == ask.tenant:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def answer_all(
    runtime: Runtime, message: ScoreMessage, subjects: Sequence[Sequence[int]], past: Sequence[Entries]
) -> tuple[list[Answer], list[tuple[Ask, dict[str, Any], bytes]]]:
    """An answer for each ask, in order, and what is worth storing of them. `past` is that of each subject."""
    asks = message.asks
    answers: dict[int, Answer] = {}
    stored: list[tuple[Ask, dict[str, Any], bytes]] = []
    now = time.time()
    # Readings of which the same is asked, with the places of those asks and their past.
    by_kinds: dict[tuple[Kind, ...], list[tuple[list[int], Entries]]] = {}
    stamps: dict[str | None, dict[str, Any]] = {}
    for places, entries in zip(subjects, past, strict=True):
        waiting = [place for place in places if asks[place].expires_at >= now]
        if waiting:
            kinds = tuple(asks[place].kind for place in waiting)
            by_kinds.setdefault(kinds, []).append((waiting, entries))
    for kinds, some in by_kinds.items():
        scored = score_kinds(
            runtime,
            kinds,
            [asks[places[0]].reading for places, _ in some],
            [entries for _, entries in some],
            door=message.door,
        )
        for (places, _), *verdicts in zip(some, *scored, strict=True):
            tenant = asks[places[0]].tenant
            if tenant not in stamps:
                stamps[tenant] = stamp(tenant)
            stamped = {**stamps[tenant], "fingerprint": asks[places[0]].fingerprint}
            for kind, place, verdict in zip(kinds, places, verdicts, strict=True):
                if isinstance(verdict, ServiceError):
                    answers[place] = _failure(verdict)
                    continue
                dressed = verdict | stamped
                try:
                    body = orjson.dumps(dressed)
                except TypeError as error:
                    metrics.UNEXPECTED_ERRORS.labels(unit="request").inc()
                    log.exception("a verdict on charger %s has no JSON", asks[place].reading.charger_id)
                    answers[place] = _failure(ScoringFailed(f"The verdict has no JSON ({error})."))
                    continue
                answers[place] = Answer(body, gist=verdict.get(GIST.get(kind, "")))
                stored.append((asks[place], dressed, body))
    late = _failure(PredictionTimeout("The caller has stopped waiting."))
    return [answers.get(place, late) for place in range(len(asks))], stored


def _failure(error: ServiceError) -> Answer:
    return Answer(error_code=error.code, error_detail=str(error))
