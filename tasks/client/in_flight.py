"""Tasks that were sent and are not answered yet, and the detection of lost ones.

The module uses no threads, clock or sockets. Times are seconds of one clock; the queue's content is passed
in.
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
    """One task. `load` is the publisher's own data, `size` the number of expected results.

    `task_id` is empty until the task is on its queue. `is_retry`: it carries one reading of a lost task and
    is not split again. `is_lost`: it counts as lost, but a late reply is still accepted. `is_split`: its
    readings were sent again. `off_queue_since` is the time of the first look that did not find it on the
    queue. `through_outage`: Redis was unreachable while it was in flight.
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
    """State of a task, as derived from a look at the queue."""

    PENDING = "still to be answered"
    NOT_TAKEN = "no worker has come to it in time"
    LOST = "a worker took it and will not answer"
    LOST_WITH_REDIS = "the task or its answer went down with Redis"


class LossPolicy(Protocol):
    """Decide when to look for a task on its queue, and how to interpret the result."""

    def is_due(self, task: InFlightTask[Load], now: float) -> bool:
        """Whether to look for `task` on its queue now."""

    def fate(self, task: InFlightTask[Load], now: float, *, is_queued: bool) -> Fate:
        """The state of `task`, given whether it is on its queue."""


@dataclass(frozen=True, slots=True)
class DeadlinePolicy:
    """For callers with a deadline of seconds: a task off the queue is lost after `lost_after_s`.

    No worker has started a task that is on the queue. A retry would double the work of a slow worker.
    """

    lost_after_s: float

    def is_due(self, task: InFlightTask[Load], now: float) -> bool:
        """Whether the task is old enough and can be split.

        A lost task stays due until a worker is there for its retries.
        """
        can_be_split = bool(task.task_id) and not (task.is_retry or task.is_split)
        return can_be_split and now - task.sent_at >= self.lost_after_s

    def fate(self, task: InFlightTask[Load], now: float, *, is_queued: bool) -> Fate:
        """`LOST` if the task is off the queue, else `PENDING`."""
        return Fate.PENDING if is_queued else Fate.LOST


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """For a stream, which can wait and retries: a task ends only when its state is certain.

    All in seconds: `timeout_s` is the longest time on the queue. `look_after_s` is the age of the first look.
    `lost_after_s` is the longest time in a worker. `recovery_s` is the time after a Redis outage in which a
    reply may still come.
    """

    timeout_s: float
    look_after_s: float
    lost_after_s: float
    recovery_s: float

    def is_due(self, task: InFlightTask[Load], now: float) -> bool:
        """Whether the task is at least `look_after_s` old."""
        return bool(task.task_id) and now - task.sent_at >= self.look_after_s

    def fate(self, task: InFlightTask[Load], now: float, *, is_queued: bool) -> Fate:
        """The state of `task`. Sets its `off_queue_since`."""
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
    """The tasks of one sender. Not thread-safe."""

    def __init__(self, policy: LossPolicy) -> None:
        self._policy = policy
        self._tasks: dict[str, InFlightTask[Load]] = {}

    def __iter__(self) -> Iterator[InFlightTask[Load]]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, task: InFlightTask[Load]) -> None:
        """Add a task, or put it back."""
        self._tasks[task.batch_id] = task

    def remove(self, task: InFlightTask[Load]) -> bool:
        """Remove a task. Returns whether it was still there."""
        return self._tasks.pop(task.batch_id, None) is not None

    def take(self, batch_id: str) -> InFlightTask[Load] | None:
        """Remove and return the task of a reply; None if it was given up before."""
        return self._tasks.pop(batch_id, None)

    def take_expired(self, now: float) -> list[InFlightTask[Load]]:
        """Remove and return the tasks that have expired."""
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
        """The fate of each given task that is still in flight. `queued` has the ids of those on the queue."""
        return [
            (task, self._policy.fate(task, now, is_queued=task.task_id in queued))
            for task in tasks
            if task.batch_id in self._tasks
        ]

    def note_outage(self) -> None:
        """Note that Redis was unreachable: tasks and replies that it had not persisted may be lost."""
        for task in self._tasks.values():
            task.through_outage, task.off_queue_since = True, None


def loss_of(task: InFlightTask[Load], answers: Sequence[ScoreResult]) -> str | None:
    """Why a reply does not answer its task (a reported loss, a wrong number of results); None if it does."""
    if len(answers) != task.size:
        return "The worker gave another number of answers."
    return answers[0].error_detail if answers[0].error_code == TASK_LOST else None
