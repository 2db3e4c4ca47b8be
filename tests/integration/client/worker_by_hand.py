"""A worker that answers when the test tells it to, and readings to ask it about."""

from __future__ import annotations

import base64
from concurrent.futures import Future, ThreadPoolExecutor

import orjson
import pytest
from redis import Redis

from readings.reading import Reading
from tasks.client.batcher import MAX_IN_FLIGHT
from tasks.client.predictor import PredictionClient
from tasks.messaging.messages import ScoreMessage, ScoreResult, encode_reply
from tasks.messaging.names import Queues
from tasks.monitoring.heartbeats import WorkerState, beat
from tests.readings import reading

TIMEOUT_S = 4.0
SHORT_TIMEOUT_S = 1.0


class WorkerByHand:
    """Takes tasks off the queue and answers them when told to."""

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url)

    def take(self, timeout_s: float = 2.0) -> ScoreMessage | None:
        popped = self.redis.brpop([Queues.SINGLE], timeout=timeout_s)
        if popped is None:
            return None
        envelope = orjson.loads(popped[1])
        (raw,), _, _ = orjson.loads(base64.b64decode(envelope["body"]))
        return ScoreMessage.decode(raw)

    def answer(self, message: ScoreMessage | None, *, bad: str | None = None) -> None:
        assert message is not None, "no task was sent"
        answers = [
            ScoreResult(error_code="scoring_failed", error_detail="No.")
            if ask.reading.charger_id == bad
            else ScoreResult(body=orjson.dumps({"charger_id": ask.reading.charger_id}))
            for ask in message.score_requests
        ]
        self.redis.rpush(message.reply_to, encode_reply(message.batch_id, answers))

    def sign_on(self) -> None:
        """The heartbeat of a worker that holds a model; good for some seconds."""
        models = [{"name": "failure", "version": "1"}]
        beat(self.redis, WorkerState("single@test", 1, [Queues.SINGLE], models, None, 0, 0.0))


def assert_serves(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand, *, sent_within_s: float = 2.0
) -> None:
    """A new request is sent and answered, whatever was before."""
    after = ask(client, pool, reading("AFTER"))
    worker.answer(worker.take(timeout_s=sent_within_s))
    assert charger_of(after.result(2)) == "AFTER"


impatient = pytest.mark.parametrize("client", [SHORT_TIMEOUT_S], indirect=True)


def ask(client: PredictionClient, pool: ThreadPoolExecutor, what: Reading) -> Future[bytes]:
    return pool.submit(client.predict, "failure", what, None)


def charger_of(body: bytes) -> str:
    return str(orjson.loads(body)["charger_id"])


def fill_window(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> list[ScoreMessage | None]:
    """As many tasks under way as may be, each with one reading."""
    under_way = []
    for _ in range(MAX_IN_FLIGHT):
        ask(client, pool, reading())
        under_way.append(worker.take())
    return under_way
