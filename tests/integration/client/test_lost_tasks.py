"""Tasks that are lost, expired or cannot be sent: who is told, and what is sent again."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from errors import PredictionTimeout, ScoringFailed
from readings.reading import Reading
from tasks.client.batcher import MAX_IN_FLIGHT
from tasks.client.predictor import PredictionClient
from tasks.messaging.messages import TASK_LOST, ScoreMessage, ScoreResult, encode_reply
from tasks.messaging.names import Queues
from tests.integration.client.worker_by_hand import (
    TIMEOUT_S,
    WorkerByHand,
    ask,
    assert_serves,
    charger_of,
    fill_window,
    impatient,
)
from tests.processes import wait_until
from tests.readings import reading


def lost(message: ScoreMessage) -> list[ScoreResult]:
    return [ScoreResult(error_code=TASK_LOST, error_detail="Died.") for _ in message.score_requests]


def batch_under_way(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand, size: int
) -> tuple[list[Future[bytes]], ScoreMessage]:
    """Readings that travel in one task, which the worker has taken."""
    under_way = fill_window(client, pool, worker)
    asked = [ask(client, pool, reading()) for _ in range(size)]
    wait_until(lambda: client._batcher.queued == size, what="the readings to wait for the window")
    worker.answer(under_way[0])
    message = worker.take()
    assert message is not None
    assert len(message.score_requests) == size
    worker.answer(under_way[1])
    return asked, message


def test_a_lost_task_is_sent_again_at_once_each_reading_alone(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    asked, message = batch_under_way(client, pool, worker, size=3)
    worker.redis.rpush(message.reply_to, encode_reply(message.batch_id, lost(message)))
    repeats = [worker.take(), worker.take(), worker.take()]
    assert all(repeat is not None and len(repeat.score_requests) == 1 for repeat in repeats)
    bad, *good = repeats
    assert bad is not None
    for repeat in good:
        worker.answer(repeat)
    worker.redis.rpush(bad.reply_to, encode_reply(bad.batch_id, lost(bad)))
    failed = [future.exception(2) for future in asked if future.exception(2) is not None]
    assert [str(error) for error in failed] == ["Died."]
    assert isinstance(failed[0], ScoringFailed)
    assert worker.take(timeout_s=0.1) is None  # once is enough


def test_a_task_that_vanished_is_sent_again_when_a_worker_lives_and_its_late_reply_counts(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    worker.sign_on()
    asked, message = batch_under_way(client, pool, worker, size=2)
    repeats = [worker.take(timeout_s=TIMEOUT_S), worker.take()]
    assert all(repeat is not None and len(repeat.score_requests) == 1 for repeat in repeats)
    worker.answer(message)
    assert all(charger_of(future.result(2)) for future in asked)
    worker.answer(repeats[0])
    assert_serves(client, pool, worker)


@impatient
def test_what_nobody_has_begun_is_not_sent_again(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    worker.sign_on()
    with pytest.raises(PredictionTimeout):
        ask(client, pool, reading()).result(3)
    assert worker.redis.llen(Queues.SINGLE) <= 1


@pytest.mark.parametrize("client", [2.0], indirect=True)
def test_with_no_worker_nothing_is_sent_again_and_the_window_is_free_before_the_deadline(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    fill_window(client, pool, worker)  # and whoever took those is gone
    assert_serves(client, pool, worker, sent_within_s=1.9)
    assert worker.take(timeout_s=0.3) is None


UNSENDABLE = {"costs": 2**70}  # no task message can hold it: validation lets nothing of the kind through


def test_a_reading_that_cannot_be_sent_costs_its_own_request_and_no_place_in_the_window(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reading, "fingerprint", lambda self: self.charger_id)
    for _ in range(2 * MAX_IN_FLIGHT):
        assert isinstance(ask(client, pool, reading(metadata=UNSENDABLE)).exception(2), TypeError)
    assert_serves(client, pool, worker)


def test_a_reading_that_cannot_be_sent_costs_none_of_those_that_travel_with_it(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reading, "fingerprint", lambda self: self.charger_id)
    under_way = fill_window(client, pool, worker)
    bad = ask(client, pool, reading(metadata=UNSENDABLE))
    good = [ask(client, pool, reading(f"GOOD-{number}")) for number in range(3)]
    wait_until(lambda: client._batcher.queued == 4, what="four readings to wait for the window")
    worker.answer(under_way[0])
    for _ in good:
        worker.answer(worker.take())
    assert [charger_of(future.result(2)) for future in good] == ["GOOD-0", "GOOD-1", "GOOD-2"]
    assert isinstance(bad.exception(2), TypeError)


@impatient
def test_a_retry_right_after_a_timeout_is_sent_anew(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    what = reading("AGAIN")
    with pytest.raises(PredictionTimeout):
        ask(client, pool, what).result(3)
    retry = ask(client, pool, what)  # before the window has noticed that the first task has expired
    first, second = worker.take(), worker.take()
    assert first is not None
    assert second is not None
    assert second.score_requests[0].expires_at > first.score_requests[0].expires_at
    worker.answer(second)
    assert charger_of(retry.result(2)) == "AGAIN"


@impatient
def test_a_caller_that_joins_late_is_not_left_with_a_task_that_expires_before_it(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    what = reading("JOINED")
    first = ask(client, pool, what)
    task = worker.take()
    assert task is not None
    wait_until(
        lambda: time.time() > task.score_requests[0].expires_at - 0.3,
        what="the end of the first caller's time",
    )
    second = ask(client, pool, what)
    assert isinstance(first.exception(3), PredictionTimeout)
    worker.answer(worker.take())  # the same reading again, for the second caller
    assert charger_of(second.result(2)) == "JOINED"
