"""Score readings for the Kafka consumer: many readings per task, several tasks in flight.

No caller waits with a deadline of seconds. But the consumer needs the fate of each task: answered, not taken
by any worker (retry), or lost because its worker died (one of its readings may be the cause). `RetryPolicy`
distinguishes these. A task that no worker has taken is still on the queue.
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
from tasks.storage import redis_clock

# Interval of searches for unanswered tasks on the queue, and the minimum age of these tasks.
LOOK_EVERY_S: Final = 1.0
# A task that a worker has taken is answered within its hard time limit, or not at all.
LOST_AFTER_S: Final = SCORE_HARD_LIMIT_S + 2.0
# Time for workers to reconnect after a Redis outage and to send the results of the meantime.
RECOVERY_S: Final = 3.0

Task = InFlightTask[Future[list[ScoreResult]]]


class TaskLost(PredictionTimeout):
    """Raised when a worker took a task and did not answer: it died, or was killed at its time limit."""

    code = TASK_LOST


class StreamPredictor:
    """Score readings for a process that does not block on results. Thread-safe."""

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
        """Stop the listener. Blocks 2 s at most."""
        self._replies.stop()

    def requests_for(self, kinds: Iterable[Kind], reading: Reading, tenant: str | None) -> list[ScoreRequest]:
        """One request per kind, for `submit`. Workers skip requests that have expired here."""
        fingerprint, expires_at = reading.fingerprint(), redis_clock.now() + self._expires_s
        return [ScoreRequest(kind, tenant, reading, fingerprint, expires_at) for kind in kinds]

    def submit(
        self, score_requests: Sequence[ScoreRequest], traces: Sequence[str] = ()
    ) -> Future[list[ScoreResult]]:
        """Send requests as one task. Blocks 2 s at most, raises nothing.

        All readings must have the same kinds, adjacent as `requests_for` returns them. `traces` are the
        contexts of traced records. The future's results are in the order of the requests. It fails with:

        - `BrokerUnavailable` if the task could not be sent,
        - `PredictionTimeout` if no worker took it within the setting `KAFKA_SCORE_TIMEOUT`,
        - `TaskLost` if a worker took it and did not answer,
        - any unexpected exception that was raised while it was encoded.

        Callbacks of the future run in another thread.
        """
        now = time.monotonic()
        task: Task = InFlightTask(
            Future(), len(score_requests), sent_at=now, expires_at=now + self._expires_s
        )
        message = ScoreMessage(
            task.batch_id, self._replies.address, score_requests, source="kafka", traces=traces
        )
        # A worker of the first schema cannot read columns. Such a task is lost, and its readings are sent
        # again one by one, in the first schema.
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
        # Later than `RetryPolicy` gives a task up: otherwise an expired task would look like a lost one.
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
