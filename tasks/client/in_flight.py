"""Tasks that were sent and are not answered yet, and which of them are lost.

Without threads, clock or sockets: times are seconds of one clock, and what stands on the queue is passed in.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, Protocol, TypeVar

from tasks.messaging.messages import TASK_LOST, ScoreResult

Load = TypeVar("Load")


@dataclass(slots=True, eq=False)
class InFlightTask(Generic[Load]):
    """One task. `load` is what its publisher keeps with it, `size` the number of answers that it expects.

    `task_id` is empty until the task is on its queue. `is_retry`: it carries one reading of a lost task, and
    is not split again. `is_lost`: nobody counts on it any more; a late reply still counts. `is_split`: its
    readings were sent again. `off_queue_since` is when a look found that a worker had taken it.
    """

    load: Load
    size: int
    sent_at: float
    expires_at: float
    is_retry: bool = False
    batch_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    task_id: str = ""
    is_lost: bool = False
    is_split: bool = False
    off_queue_since: float | None = None
    through_outage: bool = False


class Fate(Enum):
    """What a look at the queue says of a task."""

    PENDING = "still to be answered"
    NOT_TAKEN = "no worker has come to it in time"
    LOST = "a worker took it and will not answer"
    LOST_WITH_REDIS = "the task or its answer went down with Redis"


class LossPolicy(Protocol):
    """When to look for a task on its queue, and what it means that it is there or not."""

    def is_due(self, task: InFlightTask[Load], now: float) -> bool: ...

    def fate(self, task: InFlightTask[Load], now: float, *, is_queued: bool) -> Fate: ...


@dataclass(frozen=True, slots=True)
class DeadlinePolicy:
    """For callers with a deadline of seconds: after `lost_after_s` a task off the queue is lost.

    While it is on the queue no worker has begun it, and a second sending would double a slow worker's work.
    """

    lost_after_s: float

    def is_due(self, task: InFlightTask[Load], now: float) -> bool:
        """A task counts as lost for as long as no worker is there to send it to again."""
        can_be_split = bool(task.task_id) and not (task.is_retry or task.is_split)
        return can_be_split and now - task.sent_at >= self.lost_after_s

    def fate(self, task: InFlightTask[Load], now: float, *, is_queued: bool) -> Fate:
        return Fate.PENDING if is_queued else Fate.LOST


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """For a stream, which can wait and tries again: only certainty ends a task.

    `timeout_s` is how long a task may wait on its queue, `lost_after_s` how long a worker that took one may
    take, and `recovery_s` how long after an outage of Redis an answer may still come.
    """

    timeout_s: float
    look_after_s: float
    lost_after_s: float
    recovery_s: float

    def is_due(self, task: InFlightTask[Load], now: float) -> bool:
        return bool(task.task_id) and now - task.sent_at >= self.look_after_s

    def fate(self, task: InFlightTask[Load], now: float, *, is_queued: bool) -> Fate:
        if is_queued:
            task.off_queue_since = None
            return Fate.NOT_TAKEN if now - task.sent_at >= self.timeout_s else Fate.PENDING
        if task.off_queue_since is None:
            task.off_queue_since = now
        off_queue_s = now - task.off_queue_since
        if task.through_outage and off_queue_s >= self.recovery_s:
            return Fate.LOST_WITH_REDIS
        return Fate.LOST if off_queue_s >= self.lost_after_s else Fate.PENDING


class InFlightTasks(Generic[Load]):
    """The tasks of one sender. Not safe to share between threads."""

    def __init__(self, policy: LossPolicy) -> None:
        self._policy = policy
        self._tasks: dict[str, InFlightTask[Load]] = {}

    def __iter__(self) -> Iterator[InFlightTask[Load]]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, task: InFlightTask[Load]) -> None:
        self._tasks[task.batch_id] = task

    def remove(self, task: InFlightTask[Load]) -> bool:
        """Whether it was still there."""
        return self._tasks.pop(task.batch_id, None) is not None

    def take(self, batch_id: str) -> InFlightTask[Load] | None:
        """Remove the task that a reply names; None if it was given up before."""
        return self._tasks.pop(batch_id, None)

    def take_expired(self, now: float) -> list[InFlightTask[Load]]:
        """Remove the tasks that have expired."""
        expired = [task for task in self._tasks.values() if task.expires_at <= now]
        for task in expired:
            del self._tasks[task.batch_id]
        return expired

    def due(self, now: float) -> list[InFlightTask[Load]]:
        """The tasks to look for on the queue now."""
        return [task for task in self._tasks.values() if self._policy.is_due(task, now)]

    def fates(
        self, tasks: Iterable[InFlightTask[Load]], queued: Collection[str], now: float
    ) -> list[tuple[InFlightTask[Load], Fate]]:
        """The fate of each of these that is still in flight. `queued` has the ids of those on the queue."""
        return [
            (task, self._policy.fate(task, now, is_queued=task.task_id in queued))
            for task in tasks
            if task.batch_id in self._tasks
        ]

    def note_outage(self) -> None:
        """Redis was away: tasks and answers may be gone with what it had not written down."""
        for task in self._tasks.values():
            task.through_outage, task.off_queue_since = True, None


def loss_of(task: InFlightTask[Load], answers: Sequence[ScoreResult]) -> str | None:
    """Why a reply is no answer to its task, or None: it reports a loss, or has another number of answers."""
    if len(answers) != task.size:
        return "The worker gave another number of answers."
    return answers[0].error_detail if answers[0].error_code == TASK_LOST else None
