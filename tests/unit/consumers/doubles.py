"""Stand-ins of the consumer's surroundings, moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future

import orjson

from errors import BrokerUnavailable, PredictionTimeout, ServiceError
from readings.reading import Kind, Reading
from tasks.client.stream_predictor import TaskLost
from tasks.messaging.messages import ScoreRequest, ScoreResult
from tests.readings import MORNING

START = MORNING


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def verdict(ask: ScoreRequest) -> ScoreResult:
    """What a worker in order says."""
    if ask.kind == "anomaly":
        body = {"charger_id": ask.reading.charger_id, "is_anomaly": False}
    else:
        body = {"charger_id": ask.reading.charger_id, "failure_probability": 0.1, "in_failure": False}
    return ScoreResult(body=orjson.dumps(body))


class FakePredictor:
    """A queue with workers that do as told: `answer` is called for each task when `work` is."""

    def __init__(self, answer: Callable[[Sequence[ScoreRequest]], list[ScoreResult]] | None = None) -> None:
        self.answer = answer or (lambda score_requests: [verdict(ask) for ask in score_requests])
        self.down = False
        self.tasks: list[tuple[list[ScoreRequest], Future[list[ScoreResult]]]] = []
        self.sent = 0

    def requests_for(self, kinds: Iterable[Kind], reading: Reading, tenant: str | None) -> list[ScoreRequest]:
        return [ScoreRequest(kind, tenant, reading, "f", 0.0) for kind in kinds]

    def submit(
        self, score_requests: Sequence[ScoreRequest], traces: Sequence[str] = ()
    ) -> Future[list[ScoreResult]]:
        future: Future[list[ScoreResult]] = Future()
        if self.down:
            future.set_exception(BrokerUnavailable("down"))
            return future
        self.sent += 1
        self.tasks.append((list(score_requests), future))
        return future

    def work(self) -> None:
        """Answer everything that was sent."""
        tasks, self.tasks = self.tasks, []
        for score_requests, future in tasks:
            try:
                future.set_result(self.answer(score_requests))
            except ServiceError as error:
                future.set_exception(error)

    def lose(self, error: PredictionTimeout | TaskLost) -> None:
        tasks, self.tasks = self.tasks, []
        for _, future in tasks:
            future.set_exception(error)
