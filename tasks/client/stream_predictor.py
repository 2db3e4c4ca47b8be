"""The door to the queue for the Kafka consumer: many readings a task, several tasks under way.

Unlike `tasks/client/predictor.py` nobody waits here with a deadline of seconds, but the consumer must know
what became of each task: answered, never begun (no worker came to it: try again), or begun and lost (its
worker died: perhaps because of one of its readings). The queue itself tells the last two apart, for a task
that no worker has taken is still in it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, cast

from redis import RedisError

from errors import PredictionTimeout, ScoringFailed
from readings.reading import Kind, Reading
from settings import Settings
from tasks.client.reply_listener import Inbox
from tasks.messaging.messages import Answer, Ask, ScoreMessage
from tasks.messaging.names import SCORE_HARD_LIMIT_S, Queues, TaskNames
from tasks.messaging.task_publisher import Sender
from tasks.storage.redis_connection import connect

log = logging.getLogger(__name__)

# How often the queue is searched for tasks that are not answered yet, and from which age on.
LOOK_EVERY_S: Final = 1.0
# A task that a worker has taken is answered within its hard time limit, or not at all.
LOST_AFTER_S: Final = SCORE_HARD_LIMIT_S + 2.0
# After Redis was away: time for workers to reconnect and hand in what they have scored meanwhile.
RECOVERY_S: Final = 3.0


class TaskLost(PredictionTimeout):
    """Raised when a worker has begun a task and did not answer: it died, or was killed for taking long."""

    code = "task_lost"


@dataclass(slots=True)
class _Flight:
    """One task under way. Times are `time.monotonic()` seconds; `taken_at` is when it had left the queue."""

    future: Future[list[Answer]]
    asked: int
    sent_at: float
    task_id: str = ""
    taken_at: float | None = None
    through_outage: bool = False


class StreamDoor:
    """Scores readings for a process that does not wait. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.kafka_score_timeout_s
        self._sender = Sender(settings)
        self._redis = connect(settings.redis_url)
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}
        self._outage = False
        self._next_look = 0.0
        self._inbox = Inbox(
            settings, on_reply=self._on_reply, on_tick=self._on_tick, on_unreachable=self._on_unreachable
        )
        self._inbox.start()

    def close(self) -> None:
        self._inbox.stop()
        self._redis.close()

    def ask(self, kinds: Iterable[Kind], reading: Reading, tenant: str | None) -> list[Ask]:
        """One for each kind, for `submit`. Workers leave them alone once this door has surely given up."""
        fingerprint, expires_at = reading.fingerprint(), time.time() + self._expires_s
        return [Ask(kind, tenant, reading, fingerprint, expires_at) for kind in kinds]

    def submit(self, asks: Sequence[Ask]) -> Future[list[Answer]]:
        """Send `asks` as one task; the answers come in their order. Blocks 2 s at most, raises nothing.

        The same is asked about every reading, side by side as `ask` gives it.

        The future fails with `BrokerUnavailable` when the task could not be sent, with `PredictionTimeout`
        when no worker came to it within the setting `KAFKA_SCORE_TIMEOUT`, with `TaskLost` when one did and
        has not answered, and with whatever a bug raised while it was made. Its callbacks run in another
        thread.
        """
        flight = _Flight(Future(), len(asks), time.monotonic())
        batch_id = uuid.uuid4().hex
        message = ScoreMessage(batch_id, self._inbox.address, asks, door="kafka")
        # What a worker of the first schema cannot read is lost, and comes again one by one: then it can.
        alone = asks[0].reading is asks[-1].reading
        with self._lock:
            self._flights[batch_id] = flight
        try:
            flight.task_id = self._sender.send(
                TaskNames.SCORE,
                message.encode() if alone else message.encode_columns(),
                queue=Queues.STREAM,
                expires_s=self._expires_s,
            )
        except Exception as error:
            self._fail(batch_id, error)
        return flight.future

    @property
    def _expires_s(self) -> float:
        # Later than this door gives a task up, or one that expired would look like one that was lost.
        return self._timeout_s * 2 + LOST_AFTER_S

    def _on_reply(self, batch_id: str, answers: list[Answer]) -> None:
        with self._lock:
            flight = self._flights.pop(batch_id, None)
        if flight is None:
            return  # given up before
        if answers and answers[0].error_code == TaskLost.code:
            flight.future.set_exception(TaskLost(answers[0].error_detail))  # the worker's parent tells
        elif len(answers) != flight.asked:
            flight.future.set_exception(ScoringFailed("The worker gave another number of answers."))
        else:
            flight.future.set_result(answers)

    def _on_unreachable(self) -> None:
        self._outage = True

    def _on_tick(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        with self._lock:
            unanswered = [
                (batch_id, flight)
                for batch_id, flight in self._flights.items()
                if flight.task_id and now - flight.sent_at >= LOOK_EVERY_S
            ]
        if not unanswered and not self._outage:
            return
        try:
            queued = cast(list[bytes], self._redis.lrange(Queues.STREAM, 0, -1))
        except RedisError as error:
            log.debug("the queue cannot be searched: %s", error)
            self._outage = True
            return
        if self._outage:
            self._outage = False
            self._remember_outage(now)
        for batch_id, flight in unanswered:
            self._judge(batch_id, flight, queued, now)

    def _remember_outage(self, now: float) -> None:
        """Tasks and answers may be gone with what Redis had not yet written down."""
        with self._lock:
            for flight in self._flights.values():
                flight.through_outage, flight.taken_at = True, None

    def _judge(self, batch_id: str, flight: _Flight, queued: Iterable[bytes], now: float) -> None:
        mark = flight.task_id.encode()
        waiting = next((message for message in queued if mark in message), None)
        if waiting is not None:
            flight.taken_at = None
            if now - flight.sent_at >= self._timeout_s:
                self._withdraw(batch_id, waiting)
            return
        if flight.taken_at is None:
            flight.taken_at = now
        elif flight.through_outage and now - flight.taken_at >= RECOVERY_S:
            self._fail(batch_id, PredictionTimeout("The task or its answer went down with Redis."))
        elif now - flight.taken_at >= LOST_AFTER_S:
            self._fail(batch_id, TaskLost("A worker began to score this and never answered."))

    def _withdraw(self, batch_id: str, message: bytes) -> None:
        """Take a task off the queue, so that nobody scores what nobody waits for."""
        try:
            removed = self._redis.lrem(Queues.STREAM, 1, cast(str, message))  # the stubs know no bytes
        except RedisError as error:
            log.debug("a task could not be withdrawn: %s", error)
            return
        if removed:  # else a worker was quicker
            self._fail(batch_id, PredictionTimeout(f"No worker came to it within {self._timeout_s:g} s."))

    def _fail(self, batch_id: str, error: Exception) -> None:
        with self._lock:
            flight = self._flights.pop(batch_id, None)
        if flight is not None:
            flight.future.set_exception(error)
