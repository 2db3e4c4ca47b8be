"""The prediction client: the test decides when a reply comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import orjson
import pytest

import metrics
from errors import BrokerUnavailable, PredictionTimeout, QueueFull, ScoringFailed
from readings.reading import Reading
from settings import read_settings
from tasks.client.batcher import MicroBatcher
from tasks.client.predictor import PredictionClient
from tasks.client.turns import QUICK_REFUSALS, REFUSED_LATER_S, REFUSED_SOON_S
from tasks.messaging.names import Queues
from tasks.storage.verdict_cache import VerdictCache
from tests.integration.client.worker_by_hand import (
    WorkerByHand,
    ask,
    assert_serves,
    charger_of,
    fill_window,
    impatient,
)
from tests.processes import settings_for, wait_until
from tests.readings import new_charger_id, reading
from tests.services import start_redis

CROWD = 250


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
        assert [each.fingerprint for each in message.score_requests] == [what.fingerprint()]
    assert worker.take(timeout_s=0.1) is None


def test_what_arrives_while_tasks_are_under_way_travels_together(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    under_way = fill_window(client, pool, worker)
    chargers = [new_charger_id() for _ in range(20)]
    asked = [ask(client, pool, reading(charger)) for charger in chargers]
    wait_until(lambda: client._batcher.queued == len(chargers), what="all to wait for the window")
    assert worker.take(timeout_s=0.1) is None
    worker.answer(under_way[0])
    together = worker.take()
    assert together is not None
    assert {each.reading.charger_id for each in together.score_requests} == set(chargers)
    worker.answer(together)
    assert [charger_of(future.result(2)) for future in asked] == chargers


def test_one_bad_reading_fails_alone(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    under_way = fill_window(client, pool, worker)
    good, bad = ask(client, pool, reading("GOOD")), ask(client, pool, reading("BAD"))
    wait_until(lambda: client._batcher.queued == 2, what="both to wait for the window")
    worker.answer(under_way[0])
    worker.answer(worker.take(), bad="BAD")
    assert charger_of(good.result(2)) == "GOOD"
    with pytest.raises(ScoringFailed, match=r"No\."):
        bad.result(2)


def test_equal_readings_share_one_place(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    asked = [ask(client, pool, reading("SAME", power=1.0)) for _ in range(10)]
    wait_until(lambda: metrics.WAITING._value.get() == 10, what="all to wait")
    messages = [worker.take()]
    other = ask(client, pool, reading("SAME", power=2.0))
    messages.append(worker.take())
    assert sorted(len(message.score_requests) for message in messages if message) == [1, 1]
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
    while (message := worker.take()) is not None and message.score_requests[0].reading.charger_id != "AFTER":
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
    assert_serves(client, pool, worker)


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
    wait_until(lambda: metrics.WAITING._value.get() == 40, what="all to wait")
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
        asked = [client.predict_async("failure", reading(charger), None) for charger in ("A", "B", "A", "C")]
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
        asyncio.run(client.predict_async("failure", reading(), None))


@impatient
def test_work_that_nobody_waits_for_is_taken_off_the_queue(
    client: PredictionClient, pool: ThreadPoolExecutor, worker: WorkerByHand
) -> None:
    asked = [ask(client, pool, reading()) for _ in range(5)]
    for future in asked:
        with pytest.raises(PredictionTimeout):
            future.result(3)
    wait_until(lambda: worker.redis.llen(Queues.SINGLE) == 0, what="an empty queue", timeout_s=3)


def test_some_refusals_are_quick_and_each_tenant_has_its_share_of_them(
    client: PredictionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While several tenants ask. The delays are those that the client asks for."""
    monkeypatch.setattr(MicroBatcher, "is_shared", lambda *_: True)
    delays: dict[str, list[float]] = {"flood": [], "b": [], "after": []}

    async def refuse_all() -> None:
        go_on = asyncio.Event()

        async def sleep(seconds: float) -> None:
            delays[str(tenant.get())].append(seconds)
            await go_on.wait()

        monkeypatch.setattr("tasks.client.predictor.sleep", sleep)

        async def refuse(name: str) -> None:
            tenant.set(name)
            with pytest.raises(QueueFull):
                await client.refuse(name)

        tenant: ContextVar[str] = ContextVar("tenant")
        others = [asyncio.create_task(refuse("flood")) for _ in range(QUICK_REFUSALS + 2)]
        others.append(asyncio.create_task(refuse("b")))
        while sum(map(len, delays.values())) < len(others):
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*others)
        await refuse("after")

    asyncio.run(refuse_all())
    assert delays["flood"] == [REFUSED_SOON_S] * QUICK_REFUSALS + [REFUSED_LATER_S] * 2
    assert delays["b"] == delays["after"] == [REFUSED_SOON_S]


def test_the_refusals_of_a_tenant_that_is_alone_take_no_time(
    client: PredictionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.client.predictor.sleep", None)  # it must not be called
    with pytest.raises(QueueFull):
        asyncio.run(client.refuse("a"))
