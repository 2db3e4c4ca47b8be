"""The stream predictor on a real Redis: answered, not taken, lost."""

from __future__ import annotations

import base64
import gc
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, cast

import orjson
import pytest
from redis import Redis

from errors import BrokerUnavailable, PredictionTimeout
from readings.reading import Kind
from tasks.client import stream_predictor
from tasks.client.stream_predictor import StreamPredictor, TaskLost
from tasks.messaging.messages import ScoreMessage, ScoreResult, encode_reply
from tasks.messaging.names import NEWEST_SCHEMA, SCHEMA_VERSION, Queues
from tests.processes import settings_for
from tests.readings import reading
from tests.services import RunningServer, start_redis

READING = reading("EVZ-1")


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture
def redis(server: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(server.url) as redis:
        redis.flushall()
        yield redis


@pytest.fixture
def predictor(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[StreamPredictor]:
    monkeypatch.setattr(stream_predictor, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(stream_predictor, "LOST_AFTER_S", 1.0)
    monkeypatch.setattr(stream_predictor, "RECOVERY_S", 0.3)
    predictor = StreamPredictor(settings_for(server.url, KAFKA_SCORE_TIMEOUT="1.0"))
    yield predictor
    predictor.close()
    del predictor
    with warnings.catch_warnings():
        # Sender and inbox end with their process and leave their connections to it.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def submit(predictor: StreamPredictor) -> Future[list[ScoreResult]]:
    return predictor.submit(predictor.requests_for(("failure", "anomaly"), READING, "acme"))


def take_raw(redis: Redis) -> dict[str, Any]:
    _, raw = cast(tuple[bytes, bytes], redis.brpop([Queues.STREAM], timeout=5))
    arguments, _, _ = orjson.loads(base64.b64decode(orjson.loads(raw)["body"]))
    message: dict[str, Any] = arguments[0]
    return message


def take(redis: Redis) -> ScoreMessage:
    """What a worker does first."""
    return ScoreMessage.decode(take_raw(redis))


def test_answers_come_in_the_order_of_the_asks(predictor: StreamPredictor, redis: Redis) -> None:
    first, second = submit(predictor), submit(predictor)
    for body in (b"1", b"2"):
        message = take(redis)
        assert [ask.kind for ask in message.score_requests] == ["failure", "anomaly"]
        assert (message.source, message.score_requests[0].tenant) == ("kafka", "acme")
        answers = [ScoreResult(body=body), ScoreResult(error_code="scoring_failed", error_detail="no")]
        redis.rpush(message.reply_to, encode_reply(message.batch_id, answers))
    assert [first.result(5)[0].body, second.result(5)[0].body] == [b"1", b"2"]
    assert first.result()[1].error_code == "scoring_failed"


def test_readings_travel_in_columns_but_one_alone_as_workers_of_the_first_schema_read_it(
    predictor: StreamPredictor, redis: Redis
) -> None:
    # They refuse columns, which is a lost task to the consumer: it sends each of its readings alone.
    kinds: tuple[Kind, ...] = ("failure", "anomaly")
    alone = predictor.requests_for(kinds, READING, "acme")
    together = alone + predictor.requests_for(kinds, READING._replace(charger_id="other"), None)
    predictor.submit(together)
    predictor.submit(alone)
    columns, rows = take_raw(redis), take_raw(redis)
    assert (columns["v"], rows["v"]) == (NEWEST_SCHEMA, SCHEMA_VERSION)
    assert "readings" in columns
    assert [ask["kind"] for ask in rows["asks"]] == list(kinds)
    assert ScoreMessage.decode(columns).score_requests == together
    assert ScoreMessage.decode(rows).score_requests == alone


def test_a_task_that_no_worker_comes_to_is_taken_off_the_queue(
    predictor: StreamPredictor, redis: Redis
) -> None:
    future = submit(predictor)
    assert redis.llen(Queues.STREAM) == 1
    error = future.exception(5)
    assert isinstance(error, PredictionTimeout)
    assert not isinstance(error, TaskLost)
    assert redis.llen(Queues.STREAM) == 0


def test_a_task_that_a_worker_has_taken_and_never_answers_is_lost(
    predictor: StreamPredictor, redis: Redis
) -> None:
    future = submit(predictor)
    take(redis)
    assert isinstance(future.exception(5), TaskLost)


def test_a_task_that_went_down_with_redis_is_not_held_against_its_readings(
    predictor: StreamPredictor, redis: Redis, server: RunningServer
) -> None:
    future = submit(predictor)
    server.kill()
    refused = submit(predictor).exception(5)
    assert isinstance(refused, BrokerUnavailable)
    server.restart()
    redis.delete(Queues.STREAM)
    error = future.exception(10)
    assert isinstance(error, PredictionTimeout)
    assert not isinstance(error, TaskLost)
