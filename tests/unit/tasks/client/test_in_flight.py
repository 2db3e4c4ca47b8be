"""What a look at the queue says of a task, by policy."""

from __future__ import annotations

import pytest

from tasks.client.in_flight import Fate, InFlightTask, InFlightTasks, RetryPolicy, loss_of
from tasks.messaging.messages import TASK_LOST, ScoreResult

POLICY = RetryPolicy(timeout_s=30.0, look_after_s=1.0, lost_after_s=17.0, recovery_s=3.0)


def sent(at: float = 0.0) -> tuple[InFlightTasks[str], InFlightTask[str]]:
    tasks: InFlightTasks[str] = InFlightTasks(POLICY)
    task = InFlightTask("load", 2, sent_at=at, expires_at=at + 100.0, task_id="id")
    tasks.add(task)
    return tasks, task


def fate(tasks: InFlightTasks[str], now: float, *, is_queued: bool) -> Fate | None:
    fates = tasks.fates(tasks.due(now), {"id"} if is_queued else set(), now)
    return fates[0][1] if fates else None


def test_a_task_is_looked_for_from_some_age_on_and_not_while_it_is_being_sent() -> None:
    tasks, task = sent()
    assert tasks.due(0.9) == []
    assert tasks.due(1.0) == [task]
    task.task_id = ""
    assert tasks.due(1.0) == []


def test_a_task_waits_on_its_queue_for_the_time_out() -> None:
    tasks, _ = sent()
    assert fate(tasks, 29.9, is_queued=True) is Fate.PENDING
    assert fate(tasks, 30.0, is_queued=True) is Fate.NOT_TAKEN


def test_a_task_that_a_worker_took_is_lost_after_the_hard_time_limit() -> None:
    tasks, _ = sent()
    assert fate(tasks, 25.0, is_queued=False) is Fate.PENDING
    assert fate(tasks, 41.9, is_queued=False) is Fate.PENDING
    assert fate(tasks, 42.0, is_queued=False) is Fate.LOST


def test_a_task_that_came_back_to_its_queue_is_not_lost() -> None:
    tasks, _ = sent()
    fate(tasks, 5.0, is_queued=False)
    assert fate(tasks, 20.0, is_queued=True) is Fate.PENDING
    assert fate(tasks, 25.0, is_queued=False) is Fate.PENDING


def test_after_an_outage_a_task_off_the_queue_ends_sooner() -> None:
    tasks, _ = sent()
    tasks.note_outage()
    assert fate(tasks, 10.0, is_queued=False) is Fate.PENDING
    assert fate(tasks, 12.9, is_queued=False) is Fate.PENDING
    assert fate(tasks, 13.0, is_queued=False) is Fate.LOST_WITH_REDIS


def test_a_task_that_was_answered_meanwhile_has_no_fate() -> None:
    tasks, task = sent()
    due = tasks.due(50.0)
    assert tasks.take(task.batch_id) is task
    assert tasks.fates(due, set(), 50.0) == []
    assert not tasks.remove(task)


@pytest.mark.parametrize(
    ("answers", "loss"),
    [
        ([ScoreResult(body=b"{}")] * 2, None),
        ([ScoreResult(error_code="scoring_failed")] * 2, None),
        ([ScoreResult(error_code=TASK_LOST, error_detail="died")] * 2, "died"),
        ([ScoreResult(body=b"{}")], "The worker gave another number of answers."),
        ([], "The worker gave another number of answers."),
    ],
)
def test_a_reply_is_an_answer_or_a_loss(answers: list[ScoreResult], loss: str | None) -> None:
    _, task = sent()
    assert loss_of(task, answers) == loss
