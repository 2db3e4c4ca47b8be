"""The prediction client on a real Redis, the test in the worker's place: it decides when a reply comes."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from redis import Redis

import metrics
from errors import BrokerUnavailable, PredictionTimeout, QueueFull, ScoringFailed
from readings.reading import Reading
from settings import read_settings
from tasks.client.batcher import MAX_IN_FLIGHT
from tasks.client.predictor import PredictionClient
from tasks.messaging.messages import TASK_LOST, Answer, ScoreMessage, encode_reply
from tasks.messaging.names import Queues
from tasks.monitoring.heartbeats import WorkerState, beat
from tasks.storage.verdict_cache import VerdictCache
from tests.processes import environment, settings_for, wait_until
from tests.readings import new_charger_id
from tests.services import RunningServer, start_redis

TIMEOUT_S = 4.0
SHORT_TIMEOUT_S = 1.0
CROWD = 250


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
            Answer(error_code="scoring_failed", error_detail="No.")
            if ask.reading.charger_id == bad
            else Answer(body=orjson.dumps({"charger_id": ask.reading.charger_id}))
            for ask in message.asks
        ]
        self.redis.rpush(message.reply_to, encode_reply(message.batch_id, answers))

    def sign_on(self) -> None:
        """The heartbeat of a worker that holds a model; good for some seconds."""
        models = [{"name": "failure", "version": "1"}]
        beat(self.redis, WorkerState("single@test", 1, [Queues.SINGLE], models, None, 0, 0.0))


@pytest.fixture
def worker(redis: RunningServer) -> Iterator[WorkerByHand]:
    by_hand = WorkerByHand(redis.url.replace("/0", "/5"))  # a database of its own: no real worker reads it
    yield by_hand
    by_hand.redis.flushdb()
    by_hand.redis.close()


@pytest.fixture(params=[TIMEOUT_S])
def client(
    worker: WorkerByHand,
    redis: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[PredictionClient]:
    env = environment(redis.url.replace("/0", "/5"), ML_SYNC_TIMEOUT=str(request.param), ML_MAX_WAITING="40")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(dotenv=None)
    client = PredictionClient(settings, VerdictCache(settings))
    yield client
    client.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(60) as pool:
        yield pool


impatient = pytest.mark.parametrize("client", [SHORT_TIMEOUT_S], indirect=True)


def reading(charger_id: str | None = None, **fields: Any) -> Reading:
    return Reading(charger_id or new_charger_id(), "CHARGING", datetime(2026, 1, 1, tzinfo=UTC), **fields)


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


def test_an_idle_gate_sends_at_once_and_gives_the_answer(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    asked = ask(client, pool, reading("A"))
    worker.answer(worker.take())
    assert charger_of(asked.result(2)) == "A"


def test_after_a_miss_what_is_cached_is_still_answered_from_there_and_leaves_no_task(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    cached = reading("CACHED")
    put_in_cache(cached)
    for charger in ("A", "B"):  # the second leaves in the round trip that looks for it
        asked = ask(client, pool, reading(charger))
        worker.answer(worker.take())
        assert charger_of(asked.result(2)) == charger
    assert orjson.loads(ask(client, pool, cached).result(2))["cached"]
    assert worker.take(timeout_s=0.1) is None


def test_after_a_miss_another_reading_or_an_older_model_in_the_cache_is_no_answer(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    older = reading("CACHED", power=1.0)
    put_in_cache(older, in_force="2")
    for what in (reading("A"), reading("CACHED", power=2.0), older):
        asked = ask(client, pool, what)
        message = worker.take()
        worker.answer(message)
        assert charger_of(asked.result(2)) == what.charger_id
        assert message is not None
        assert [each.fingerprint for each in message.asks] == [what.fingerprint()]
    assert worker.take(timeout_s=0.1) is None


def test_what_arrives_while_tasks_are_under_way_travels_together(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    under_way = fill_window(client, pool, worker)
    chargers = [new_charger_id() for _ in range(20)]
    asked = []
    for charger in chargers:
        asked.append(ask(client, pool, reading(charger)))
        time.sleep(0.005)
    assert worker.take(timeout_s=0.1) is None
    worker.answer(under_way[0])
    together = worker.take()
    assert together is not None
    assert {each.reading.charger_id for each in together.asks} == set(chargers)
    worker.answer(together)
    assert [charger_of(future.result(2)) for future in asked] == chargers


def test_one_bad_reading_fails_alone(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    under_way = fill_window(client, pool, worker)
    good, bad = ask(client, pool, reading("GOOD")), ask(client, pool, reading("BAD"))
    time.sleep(0.05)
    worker.answer(under_way[0])
    worker.answer(worker.take(), bad="BAD")
    assert charger_of(good.result(2)) == "GOOD"
    with pytest.raises(ScoringFailed, match=r"No\."):
        bad.result(2)


def test_equal_readings_share_one_place(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    asked = [ask(client, pool, reading("SAME", power=1.0)) for _ in range(10)]
    other = ask(client, pool, reading("SAME", power=2.0))
    wait_until(lambda: metrics.WAITING._value.get() == 11, what="all to wait")
    messages = [worker.take(), worker.take()]
    assert sorted(len(message.asks) for message in messages if message) == [1, 1]
    for message in messages:
        worker.answer(message)
    assert {charger_of(future.result(2)) for future in [*asked, other]} == {"SAME"}
    assert worker.take(timeout_s=0.1) is None


@impatient
def test_without_an_answer_the_caller_is_told_at_the_deadline_and_the_next_is_served(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    fill_window(client, pool, worker)
    with pytest.raises(PredictionTimeout, match="within 1 s"):
        ask(client, pool, reading()).result(3)
    after = ask(client, pool, reading("AFTER"))
    while (message := worker.take()) is not None and message.asks[0].reading.charger_id != "AFTER":
        pass
    worker.answer(message)
    assert charger_of(after.result(3)) == "AFTER"


@impatient
def test_a_late_reply_harms_nobody(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    late = ask(client, pool, reading())
    message = worker.take()
    with pytest.raises(PredictionTimeout):
        late.result(3)
    worker.answer(message)
    after = ask(client, pool, reading("AFTER"))
    worker.answer(worker.take())
    assert charger_of(after.result(2)) == "AFTER"


def test_a_reply_that_no_worker_of_ours_wrote_is_passed_over(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand, caplog: pytest.LogCaptureFixture
) -> None:
    asked = ask(client, pool, reading("A"))
    message = worker.take()
    assert message is not None
    worker.redis.rpush(message.reply_to, b"not json", b"{}", b'{"batch_id":"x","errors":[null]}')
    worker.answer(message)
    assert charger_of(asked.result(2)) == "A"
    assert "reply could not be handled" in caplog.text


@impatient
def test_more_than_may_wait_are_refused_at_once(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    waiting = [ask(client, pool, reading()) for _ in range(40)]
    while threading.active_count() < 40:
        time.sleep(0.01)
    time.sleep(0.1)
    with pytest.raises(QueueFull):
        ask(client, pool, reading()).result(0.5)
    for future in waiting:
        with pytest.raises(PredictionTimeout):
            future.result(3)


def test_all_who_ask_a_mute_redis_are_told_so_and_none_waits_for_the_others() -> None:
    """More than travel together: each trip would wait for Redis anew, until callers give up."""
    with start_redis() as mute, ThreadPoolExecutor(CROWD) as crowd:
        settings = settings_for(mute.url)
        client = PredictionClient(settings, VerdictCache(settings))
        mute.pause()
        asked = [ask(client, crowd, reading()) for _ in range(CROWD)]
        told = Counter(type(future.exception(10)) for future in asked)
        mute.resume()
        client.close()
    assert told == {BrokerUnavailable: CROWD}


def put_in_cache(cached: Reading, *, in_force: str = "1") -> None:
    """A verdict of model version 1 for this reading, where workers now answer with `in_force`."""
    cache = VerdictCache(read_settings(dotenv=None))
    verdict = {
        "charger_id": cached.charger_id,
        "model_version": "1",
        "fingerprint": cached.fingerprint(),
        "reading_timestamp": "2026-01-01T00:00:00.000Z",
    }
    cache.announce_versions({"failure": in_force})
    cache.put_all([("failure", None, verdict, orjson.dumps(verdict))])


@impatient
def test_what_is_cached_is_answered_though_nobody_else_may_wait(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    cached = reading("CACHED")
    put_in_cache(cached)
    waiting = [ask(client, pool, reading()) for _ in range(40)]
    wait_until(lambda: metrics.WAITING._value.get() == 40, what="all to wait")
    assert charger_of(ask(client, pool, cached).result(0.9)) == "CACHED"
    for future in waiting:
        with pytest.raises(PredictionTimeout):
            future.result(3)


def test_coroutines_wait_beside_threads_and_on_one_loop(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    async def all_at_once() -> list[bytes]:
        asked = [client.answer("failure", reading(charger), None) for charger in ("A", "B", "A", "C")]
        return await asyncio.gather(*asked)

    on_loop = pool.submit(asyncio.run, all_at_once())
    in_thread = ask(client, pool, reading("A"))
    while not (on_loop.done() and in_thread.done()):
        message = worker.take(timeout_s=0.1)
        if message is not None:
            worker.answer(message)
    assert [charger_of(body) for body in on_loop.result()] == ["A", "B", "A", "C"]
    assert charger_of(in_thread.result()) == "A"


@impatient
def test_a_coroutine_is_told_at_its_deadline(client: PredictionClient, worker: WorkerByHand) -> None:
    with pytest.raises(PredictionTimeout, match="within 1 s"):
        asyncio.run(client.answer("failure", reading(), None))


@impatient
def test_work_that_nobody_waits_for_is_taken_off_the_queue(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    asked = [ask(client, pool, reading()) for _ in range(5)]
    for future in asked:
        with pytest.raises(PredictionTimeout):
            future.result(3)
    deadline = time.monotonic() + 3
    while worker.redis.llen(Queues.SINGLE) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker.redis.llen(Queues.SINGLE) == 0


def lost(message: ScoreMessage) -> list[Answer]:
    return [Answer(error_code=TASK_LOST, error_detail="Died.") for _ in message.asks]


def batch_under_way(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand, size: int
) -> tuple[list[Future[bytes]], ScoreMessage]:
    """Readings that travel in one task, which the worker has taken."""
    under_way = fill_window(client, pool, worker)
    asked = [ask(client, pool, reading()) for _ in range(size)]
    time.sleep(0.1)
    worker.answer(under_way[0])
    message = worker.take()
    assert message is not None
    assert len(message.asks) == size
    worker.answer(under_way[1])
    return asked, message


def test_a_lost_task_is_sent_again_at_once_each_reading_alone(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    asked, message = batch_under_way(client, pool, worker, size=3)
    worker.redis.rpush(message.reply_to, encode_reply(message.batch_id, lost(message)))
    repeats = [worker.take(), worker.take(), worker.take()]
    assert all(repeat is not None and len(repeat.asks) == 1 for repeat in repeats)
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
    assert all(repeat is not None and len(repeat.asks) == 1 for repeat in repeats)
    worker.answer(message)
    assert all(charger_of(future.result(2)) for future in asked)
    worker.answer(repeats[0])
    after = ask(client, pool, reading("AFTER"))
    worker.answer(worker.take())
    assert charger_of(after.result(2)) == "AFTER"


@impatient
def test_what_nobody_has_begun_is_not_sent_again(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    worker.sign_on()
    with pytest.raises(PredictionTimeout):
        ask(client, pool, reading()).result(3)
    assert worker.redis.llen(Queues.SINGLE) <= 1


@impatient
def test_with_no_worker_nothing_is_sent_again_and_the_window_is_free_before_the_deadline(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    fill_window(client, pool, worker)  # and whoever took those is gone
    after = ask(client, pool, reading("AFTER"))
    worker.answer(worker.take(timeout_s=0.9))
    assert charger_of(after.result(2)) == "AFTER"
    assert worker.take(timeout_s=0.3) is None


UNSENDABLE = {"costs": 2**70}  # no task message can hold it: validation lets nothing of the kind through


def test_a_reading_that_cannot_be_sent_costs_its_own_request_and_no_place_in_the_window(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reading, "fingerprint", lambda self: self.charger_id)
    for _ in range(2 * MAX_IN_FLIGHT):
        assert isinstance(ask(client, pool, reading(metadata=UNSENDABLE)).exception(2), TypeError)
    after = ask(client, pool, reading("AFTER"))
    worker.answer(worker.take())
    assert charger_of(after.result(2)) == "AFTER"


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
    assert second.asks[0].expires_at > first.asks[0].expires_at
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
    wait_until(lambda: time.time() > task.asks[0].expires_at - 0.3, what="the end of the first caller's time")
    second = ask(client, pool, what)
    assert isinstance(first.exception(3), PredictionTimeout)
    worker.answer(worker.take())  # the same reading again, for the second caller
    assert charger_of(second.result(2)) == "JOINED"
