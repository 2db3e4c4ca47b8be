"""Scores readings for the Kafka consumer: many readings a task, several tasks in flight.

Nobody waits here with a deadline of seconds, but the consumer must know what became of each task: answered,
not taken (no worker came to it: try again), or lost (its worker died: perhaps because of one of its
readings). `RetryPolicy` tells these apart; a task that no worker has taken is still on the queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Final

from errors import PredictionTimeout
from readings.reading import Kind, Reading
from settings import Settings
from tasks.client.in_flight import Fate, InFlightTask, InFlightTasks, RetryPolicy, loss_of
from tasks.client.queue_inspection import QueueInspector
from tasks.client.reply_listener import ReplyListener
from tasks.messaging.messages import TASK_LOST, ScoreMessage, ScoreRequest, ScoreResult
from tasks.messaging.names import SCORE_HARD_LIMIT_S, Queues, TaskNames
from tasks.messaging.task_publisher import TaskPublisher

# How often the queue is searched for tasks that are not answered yet, and from which age on.
LOOK_EVERY_S: Final = 1.0
# A task that a worker has taken is answered within its hard time limit, or not at all.
LOST_AFTER_S: Final = SCORE_HARD_LIMIT_S + 2.0
# After Redis was away: time for workers to reconnect and hand in what they have scored meanwhile.
RECOVERY_S: Final = 3.0

Task = InFlightTask[Future[list[ScoreResult]]]


class TaskLost(PredictionTimeout):
    """Raised when a worker has begun a task and did not answer: it died, or was killed for taking long."""

    code = TASK_LOST


class StreamPredictor:
    """Scores readings for a process that does not wait. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.kafka_score_timeout_s
        self._publisher = TaskPublisher(settings)
        self._queue = QueueInspector(settings, Queues.STREAM)
        self._lock = threading.Lock()
        self._in_flight: InFlightTasks[Future[list[ScoreResult]]] = InFlightTasks(
            RetryPolicy(self._timeout_s, LOOK_EVERY_S, LOST_AFTER_S, RECOVERY_S)
        )
        self._has_outage = False
        self._next_look = 0.0
        self._replies = ReplyListener(
            settings, on_reply=self._on_reply, on_tick=self._on_tick, on_unreachable=self._on_unreachable
        )
        self._replies.start()

    def close(self) -> None:
        """Blocks 2 s at most."""
        self._replies.stop()

    def requests_for(self, kinds: Iterable[Kind], reading: Reading, tenant: str | None) -> list[ScoreRequest]:
        """One for each kind, for `submit`. Workers skip them once this process has surely given up."""
        fingerprint, expires_at = reading.fingerprint(), time.time() + self._expires_s
        return [ScoreRequest(kind, tenant, reading, fingerprint, expires_at) for kind in kinds]

    def submit(self, score_requests: Sequence[ScoreRequest]) -> Future[list[ScoreResult]]:
        """Send these as one task; the results come in their order. Blocks 2 s at most, raises nothing.

        The same is asked about every reading, side by side as `requests_for` gives it.

        The future fails with `BrokerUnavailable` when the task could not be sent, with `PredictionTimeout`
        when no worker came to it within the setting `KAFKA_SCORE_TIMEOUT`, with `TaskLost` when one did and
        has not answered, and with whatever a bug raised while it was made. Its callbacks run in another
        thread.
        """
        now = time.monotonic()
        task: Task = InFlightTask(
            Future(), len(score_requests), sent_at=now, expires_at=now + self._expires_s
        )
        message = ScoreMessage(task.batch_id, self._replies.address, score_requests, source="kafka")
        # A worker of the first schema cannot read columns. Their task is lost, and its readings come again
        # one by one, in the first schema.
        is_alone = score_requests[0].reading is score_requests[-1].reading
        with self._lock:
            self._in_flight.add(task)
        try:
            task.task_id = self._publisher.send(
                TaskNames.SCORE,
                message.encode() if is_alone else message.encode_columns(),
                queue=Queues.STREAM,
                expires_s=self._expires_s,
            )
        except Exception as error:
            self._fail(task, error)
        return task.load

    @property
    def _expires_s(self) -> float:
        # Later than a task is given up here, or one that expired would look like one that was lost.
        return self._timeout_s * 2 + LOST_AFTER_S

    def _on_reply(self, batch_id: str, answers: list[ScoreResult]) -> None:
        with self._lock:
            task = self._in_flight.take(batch_id)
        if task is None:
            return  # given up before
        loss = loss_of(task, answers)
        if loss is None:
            task.load.set_result(answers)
        else:
            task.load.set_exception(TaskLost(loss))

    def _on_unreachable(self) -> None:
        self._has_outage = True

    def _on_tick(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        with self._lock:
            due = self._in_flight.due(now)
        if not due and not self._has_outage:
            return
        waiting = self._queue.waiting({task.task_id for task in due})
        if waiting is None:
            self._has_outage = True
            return
        with self._lock:
            if self._has_outage:
                self._in_flight.note_outage()
            fates = self._in_flight.fates(due, waiting, now)
        self._has_outage = False
        for task, fate in fates:
            if fate is Fate.NOT_TAKEN and self._queue.withdraw(waiting[task.task_id]):
                self._fail(task, PredictionTimeout(f"No worker came to it within {self._timeout_s:g} s."))
            elif fate is Fate.LOST_WITH_REDIS:
                self._fail(task, PredictionTimeout("The task or its answer went down with Redis."))
            elif fate is Fate.LOST:
                self._fail(task, TaskLost("A worker began to score this and never answered."))

    def _fail(self, task: Task, error: Exception) -> None:
        with self._lock:
            is_in_flight = self._in_flight.remove(task)
        if is_in_flight:
            task.load.set_exception(error)
