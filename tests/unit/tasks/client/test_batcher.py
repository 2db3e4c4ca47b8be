"""The batcher by simulation: time, workers and faults are the test's."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import BrokerUnavailable, QueueFull, ScoringFailed
from tasks.client.admission import KEPT_SHARE
from tasks.client.batcher import (
    FOR_A_WHILE_S,
    LOST_AFTER,
    MAX_BATCH,
    MAX_IN_FLIGHT,
    WORTH_SENDING_S,
    Batch,
)
from tasks.messaging.messages import TASK_LOST, ScoreResult
from tests.unit.tasks.client.simulation import TIMEOUT_S, Simulation

LOST = ScoreResult(error_code=TASK_LOST, error_detail="The process died.")


def test_a_request_that_finds_nothing_in_flight_leaves_at_once(simulation: Simulation) -> None:
    request = simulation.request()
    (batch,) = simulation.take()
    assert batch.load == [request]


def test_requests_that_come_meanwhile_travel_together(simulation: Simulation) -> None:
    first = [simulation.request() for _ in range(MAX_IN_FLIGHT)]
    batches = simulation.take()
    assert [batch.load for batch in batches] == [[request] for request in first]
    later = [simulation.request() for _ in range(5)]
    assert simulation.take() == []
    simulation.reply(batches[0])
    (together,) = simulation.take()
    assert together.load == later


def test_a_batch_is_bounded(simulation: Simulation) -> None:
    for _ in range(MAX_IN_FLIGHT + MAX_BATCH + 1):
        simulation.request()
    first, *_ = simulation.take()
    simulation.reply(first)
    assert [batch.size for batch in simulation.take()] == [MAX_BATCH]


def test_requests_that_a_worker_has_become_too_slow_for_are_refused_while_they_wait(
    simulation: Simulation,
) -> None:
    asked = [simulation.request() for _ in range(MAX_IN_FLIGHT + 5 * MAX_BATCH)]
    for small in simulation.take():
        simulation.reply(small)
    simulation.now += TIMEOUT_S / 2
    simulation.reply(simulation.take()[0])
    # Two full tasks take a whole deadline.
    kept = round(2 * MAX_BATCH * KEPT_SHARE)
    refused = [request for request in asked if isinstance(request.outcome, QueueFull)]
    assert refused == asked[-len(refused) :]
    assert len(refused) == 3 * MAX_BATCH - kept


def test_a_small_batch_leaves_beside_a_large_one_after_a_while(simulation: Simulation) -> None:
    first = [simulation.request() for _ in range(MAX_IN_FLIGHT)]
    assert len(first) == 2
    one, two = simulation.take()
    for _ in range(4):
        simulation.request()
    simulation.reply(one)
    simulation.take()  # four in flight beside one
    simulation.reply(two)
    late = simulation.request()
    assert simulation.take() == []
    simulation.now += 2 * FOR_A_WHILE_S
    simulation.tick()
    assert [batch.load for batch in simulation.take()] == [[late]]


def test_equal_readings_are_sent_once_and_one_reply_is_everybodys(simulation: Simulation) -> None:
    first, second = simulation.request("same"), simulation.request("same")
    assert first is second
    (batch,) = simulation.take()
    simulation.reply(batch)
    assert len(first.waiters) == 2
    assert isinstance(first.outcome, ScoreResult)


@pytest.mark.parametrize("answers", [[LOST] * 3, [ScoreResult(body=b"{}")]], ids=["reported", "wrong number"])
def test_a_lost_task_is_sent_again_reading_by_reading(
    simulation: Simulation, answers: list[ScoreResult]
) -> None:
    for _ in range(MAX_IN_FLIGHT):
        simulation.request()
    three = [simulation.request() for _ in range(3)]
    simulation.reply(simulation.take()[0])
    (batch,) = simulation.take()
    assert batch.size == 3
    simulation.reply(batch, *answers)
    assert [again.load for again in simulation.take()] == [[request] for request in three]


def test_a_task_that_is_lost_twice_fails(simulation: Simulation) -> None:
    request = simulation.request()
    (batch,) = simulation.take()
    simulation.reply(batch, LOST)
    (again,) = simulation.take()
    simulation.reply(again, LOST)
    assert isinstance(request.outcome, ScoringFailed)
    assert simulation.take() == []


def test_a_silent_task_off_the_queue_is_sent_again_once_a_worker_is_there(simulation: Simulation) -> None:
    request = simulation.request()
    (batch,) = simulation.take()
    simulation.now += TIMEOUT_S * LOST_AFTER
    simulation.tick(batch)
    assert simulation.take() == [], "it is still on the queue"
    simulation.tick(is_served=False)
    assert simulation.take() == [], "nobody would take it"
    simulation.tick()
    assert [again.load for again in simulation.take()] == [[request]]
    simulation.tick()
    assert simulation.take() == [], "one second sending is enough"


def test_a_late_reply_of_a_lost_task_counts(simulation: Simulation) -> None:
    request = simulation.request()
    (batch,) = simulation.take()
    simulation.now += TIMEOUT_S * LOST_AFTER
    simulation.tick()
    simulation.reply(batch)
    assert isinstance(request.outcome, ScoreResult)


def test_an_error_of_ours_ends_all_that_wait(simulation: Simulation) -> None:
    sent = [simulation.request() for _ in range(MAX_IN_FLIGHT)]
    waiting = [simulation.request() for _ in range(3)]
    batch, *_ = simulation.take()
    error = BrokerUnavailable("away")
    simulation.carry_out(simulation.batcher.failed(batch, error, simulation.now))
    assert [request.outcome for request in [sent[0], *waiting]] == [error] * 4
    assert sent[1].outcome is None


def test_an_unexpected_error_is_one_requests_alone(simulation: Simulation) -> None:
    for _ in range(MAX_IN_FLIGHT):
        simulation.request()
    simulation.request()
    bad, good = simulation.request(), simulation.request()
    simulation.reply(simulation.take()[0])
    (batch,) = simulation.take()
    error = TypeError("cannot be encoded")
    simulation.carry_out(simulation.batcher.failed(batch, error, simulation.now))
    singles = simulation.take()
    assert [single.load[0] for single in singles][1:] == [bad, good]
    simulation.carry_out(simulation.batcher.failed(singles[1], error, simulation.now))
    assert bad.outcome is error
    assert good.outcome is None


def test_a_caller_that_joined_an_expired_task_is_sent_again(simulation: Simulation) -> None:
    request = simulation.request("same")
    simulation.take()
    simulation.now += TIMEOUT_S - 0.5
    assert simulation.request("same") is request
    simulation.now += 0.5
    simulation.tick()
    assert [batch.load for batch in simulation.take()] == [[request]]


def test_nothing_is_kept_of_requests_whose_callers_have_gone(simulation: Simulation) -> None:
    for _ in range(10):
        simulation.request()
    simulation.now += TIMEOUT_S
    simulation.tick()
    simulation.tick()
    assert simulation.pending.callers == 0
    assert simulation.batcher.queued == 0


EVENTS = st.sampled_from(
    ["request", "same", "reply", "lose", "fail", "break", "tick", "tick idle", "wait", "long"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(0, 7)), max_size=80))
def test_whatever_happens_each_request_ends_once_and_nothing_is_left(
    events: list[tuple[str, int]],
) -> None:
    loop = asyncio.new_event_loop()
    simulation = Simulation(loop)
    in_hand: list[Batch] = []
    try:
        for event, number in events:
            chosen = in_hand.pop(number % len(in_hand)) if in_hand and event in FAULTS else None
            match event:
                case "request":
                    simulation.request(tenant=TENANTS[number % 3])
                case "same":
                    simulation.request(f"same-{number % 2}", TENANTS[number % 3])
                case "reply" if chosen:
                    simulation.reply(chosen)
                case "lose" if chosen:
                    simulation.reply(chosen, *[LOST] * chosen.size)
                case "fail" if chosen:
                    simulation.carry_out(
                        simulation.batcher.failed(chosen, BrokerUnavailable("away"), simulation.now)
                    )
                case "break" if chosen:
                    simulation.carry_out(simulation.batcher.failed(chosen, TypeError("no"), simulation.now))
                case "tick" | "tick idle":
                    simulation.tick(is_served=event == "tick")
                case "wait":
                    simulation.now += 0.05 * number
                case "long":
                    simulation.now += 0.5 * number
                case _:
                    pass
            in_hand += simulation.take()
            counted = [batch for batch in in_hand if not (batch.is_lost or batch.is_retry)]
            assert len({id(request) for batch in counted for request in batch.load}) == sum(
                batch.size for batch in counted
            ), "no request is in two tasks that are waited for"
        last_deadline = max((request.deadline for request in simulation.requests), default=0.0)
        simulation.now = max(simulation.now, last_deadline + WORTH_SENDING_S)
        for _ in range(3):  # expired, sent for late joiners, expired
            simulation.tick()
            simulation.now += TIMEOUT_S
        assert simulation.pending.callers == 0
        assert simulation.batcher.queued == 0
        assert simulation.batcher.silent(simulation.now) == []
    finally:
        loop.close()


TENANTS = (None, "a", "b")
FAULTS = {"reply", "lose", "fail", "break"}
