"""As many single predictions may wait as workers answer in time. Times are the test's."""

from __future__ import annotations

import pytest

from tasks.client.admission import PROBED_EACH, TASKS_MEASURED, WAIT_SHARE, Admission

MOST, LEAST, TIMEOUT_S = 4_096, 192, 3.0
FULL = 64


def admission() -> Admission:
    return Admission(MOST, LEAST, TIMEOUT_S)


def served(
    admission: Admission, per_second: float, *, tasks: int = TASKS_MEASURED, now: float = 100.0
) -> float:
    """Answer full tasks one after the other, two of them at a time. Returns the time of the last."""
    took_s = FULL / per_second
    for number in range(1, tasks + 1):
        sent_at = now + max(0, number - 2) * took_s
        admission.note_full_task(FULL, sent_at, now + number * took_s)
    return now + tasks * took_s


def test_all_may_wait_while_the_throughput_is_unknown() -> None:
    assert admission().total == MOST


@pytest.mark.parametrize(
    ("per_second", "total"),
    [(500.0, 600), (1_000.0, 1_200), (2_500.0, 3_000), (9_000.0, MOST), (10.0, LEAST)],
)
def test_as_many_may_wait_as_workers_answer_in_their_share_of_the_deadline(
    per_second: float, total: int
) -> None:
    bounded = admission()
    served(bounded, per_second)
    assert bounded.total == pytest.approx(total, abs=1)


def test_the_capacity_follows_a_worker_that_becomes_slower_and_faster() -> None:
    bounded = admission()
    now = served(bounded, 2_500.0)
    now = served(bounded, 500.0, now=now)
    assert bounded.total == pytest.approx(500 * TIMEOUT_S * WAIT_SHARE, abs=1)
    served(bounded, 2_500.0, now=now)
    assert bounded.total == pytest.approx(2_500 * TIMEOUT_S * WAIT_SHARE, abs=1)


def test_an_idle_time_does_not_count_as_time_of_a_task() -> None:
    bounded = admission()
    served(bounded, 500.0, now=100.0)
    served(bounded, 2_500.0, now=1_000.0)
    assert bounded.total == pytest.approx(2_500 * TIMEOUT_S * WAIT_SHARE, abs=1)


def test_a_bound_set_by_the_operator_is_never_exceeded() -> None:
    bounded = Admission(8, LEAST, TIMEOUT_S)
    served(bounded, 10.0)
    assert bounded.total == 8
    assert [bounded.take(None) for _ in range(9)] == [True] * 8 + [False]


def full() -> Admission:
    bounded = Admission(2, 2, TIMEOUT_S)
    assert bounded.take(None)
    assert bounded.take(None)
    return bounded


def test_requests_are_read_while_there_is_capacity_or_the_cache_answers() -> None:
    bounded = full()
    assert not bounded.is_refused_unread(None)  # not known yet
    for _ in range(1_000):
        bounded.note_look_up(is_hit=True)
    assert not bounded.is_refused_unread(None)
    for _ in range(1_000):
        bounded.note_look_up(is_hit=False)
    assert bounded.is_refused_unread(None)
    assert not bounded.is_refused_unread("another")  # it has its share
    bounded.give_back(None)
    assert not bounded.is_refused_unread(None)


def test_some_are_read_all_the_same_and_hits_open_the_way_again() -> None:
    bounded = full()
    for _ in range(1_000):
        bounded.note_look_up(is_hit=False)
    unread = [bounded.is_refused_unread(None) for _ in range(10 * PROBED_EACH)]
    assert unread.count(False) == 10
    read = 0
    while bounded.is_refused_unread(None) or read == 0:
        bounded.note_look_up(is_hit=True)
        read += 1
        assert read < 10
