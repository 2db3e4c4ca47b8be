"""Tenants take turns in a queue and share capacity: by examples, and against simple models."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.client.pending import PendingRequest
from tasks.client.turns import SharedCapacity, Tenant, TurnQueue
from tasks.messaging.messages import ScoreRequest
from tests.readings import reading

READING = reading("EVZ-1")


def request(tenant: Tenant, number: int = 0) -> PendingRequest:
    key = ("failure", tenant, str(number))
    return PendingRequest(key, ScoreRequest("failure", tenant, READING, str(number), 0.0), deadline=1.0)  # type: ignore[arg-type]  # a literal


def queue_of(tenants: str) -> TurnQueue:
    """Requests of tenants of one letter, numbered in this order."""
    queue = TurnQueue()
    queue.extend(request(tenant, number) for number, tenant in enumerate(tenants))
    return queue


def names(taken: list[PendingRequest]) -> str:
    return "".join(each.key[1] or "-" for each in taken)


@pytest.mark.parametrize(
    ("waiting", "most", "taken"),
    [
        ("", 3, ""),
        ("aaa", 2, "aa"),
        ("aaa", 9, "aaa"),
        ("aaaaab", 3, "aba"),
        ("aaaabbbbcc", 7, "abcabca"),
        ("aaabc", 9, "abcaa"),
    ],
)
def test_each_tenant_that_waits_has_a_turn(waiting: str, most: int, taken: str) -> None:
    assert names(queue_of(waiting).take(most)) == taken


def test_turns_go_on_where_the_last_take_ended() -> None:
    queue = queue_of("aaaabbbbcccc")
    assert [names(queue.take(4)) for _ in range(3)] == ["abca", "bcab", "cabc"]


def test_requests_without_a_tenant_are_those_of_one_more() -> None:
    queue = TurnQueue()
    queue.extend([request(None, 0), request(None, 1), request("a", 2)])
    assert names(queue.take(3)) == "-a-"


QUEUE_EVENTS = st.lists(st.one_of(st.sampled_from(["a", "b", "c", None]), st.integers(1, 6)), max_size=60)


@given(QUEUE_EVENTS)
def test_the_queue_loses_nothing_keeps_the_order_and_is_fair(events: list[str | int | None]) -> None:
    queue, model, number = TurnQueue(), dict[Tenant, deque[int]](), 0
    for event in events:
        if not isinstance(event, int):
            queue.add(request(event, number))
            model.setdefault(event, deque()).append(number)
            number += 1
            continue
        waiting = {tenant: len(numbers) for tenant, numbers in model.items() if numbers}
        taken = queue.take(event)
        assert len(taken) == min(event, sum(waiting.values()))
        for each in taken:
            assert model[each.key[1]].popleft() == int(each.key[2])
        counts = Counter(each.key[1] for each in taken)
        for tenant, count in waiting.items():
            # One that still waits had no fewer turns than any other, but for the one that the take ended in.
            if counts[tenant] < count:
                assert counts[tenant] >= max(counts.values()) - 1
        assert len(queue) == sum(map(len, model.values()))
    assert len(queue.take(1000)) == sum(map(len, model.values()))
    assert len(queue) == 0


def test_a_tenant_without_requests_takes_no_memory() -> None:
    queue, capacity = TurnQueue(), SharedCapacity(2)
    for number in range(1000):
        queue.add(request(str(number)))
        assert capacity.take(str(number))
        queue.take(1)
        capacity.give_back(str(number))
    assert not queue._requests
    assert not queue._turns
    assert not capacity._held


def test_one_tenant_may_have_all() -> None:
    capacity = SharedCapacity(3)
    assert [capacity.take("a") for _ in range(5)] == [True, True, True, False, False]
    capacity.give_back("a")
    assert [capacity.take("a") for _ in range(2)] == [True, False]


@pytest.mark.owasp("API4", "a tenant that holds all capacity cannot keep others out")
def test_beside_a_tenant_that_has_all_others_get_their_share() -> None:
    capacity = SharedCapacity(8)
    assert all(capacity.take("a") for _ in range(8))
    assert [capacity.take("b") for _ in range(5)] == [True] * 4 + [False]
    assert [capacity.take(None) for _ in range(3)] == [True] * 2 + [False]
    for _ in range(5):
        capacity.give_back("a")
    assert not capacity.take("a")  # nine are taken
    capacity.give_back("b")
    capacity.give_back("b")
    assert capacity.take("a")
    assert not capacity.take("b")  # it has its third


TOTALS = st.integers(1, 20)


@given(TOTALS, st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=300))
def test_whatever_tenants_take_all_of_it_is_bounded_and_none_is_kept_out(
    total: int, events: list[tuple[int, bool]]
) -> None:
    """The bound: `total` * (1 + 1/2 + … + 1/n) for n tenants, of which at most `total` count."""
    capacity, held = SharedCapacity(total), Counter[str]()
    for number, takes in events:
        tenant = str(number)
        if takes:
            others = sum(count > 0 for name, count in held.items() if name != tenant)
            granted = capacity.take(tenant)
            if held.total() < total or held[tenant] < total // (others + 1):
                assert granted
            held[tenant] += granted
        elif held[tenant]:
            capacity.give_back(tenant)
            held[tenant] -= 1
        assert held.total() <= total * sum(1 / n for n in range(1, total + 1))


def test_those_who_would_be_taken_last_are_not_kept() -> None:
    queue = queue_of("aaaabbc")
    dropped = queue.keep(5)
    assert names(dropped) == "aa"
    assert [each.key[2] for each in dropped] == ["2", "3"]
    assert names(queue.take(9)) == "abcab"
    assert queue.keep(0) == []
