"""Retries over all calls of a client are limited, so that they do not keep an overload alive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from driven import Connect, reading
from proxy import Proxy

from evzone_ml_client import InvalidSettings, MLClient, ServiceUnavailable, Settings
from evzone_ml_client.retries import RetryBudget, attempts

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def fails(ml: MLClient) -> ServiceUnavailable:
    with pytest.raises(ServiceUnavailable) as raised:
        ml.predict_failure(reading())
    return raised.value


def test_a_client_begins_with_its_reserve_and_earns_a_part_of_a_retry_by_each_call() -> None:
    budget = RetryBudget(0.1, 2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(9):
        budget.add_call()
    assert not budget.take()
    budget.add_call()
    assert [budget.take(), budget.take()] == [True, False]


def test_no_more_than_the_reserve_is_saved() -> None:
    budget = RetryBudget(0.5, 2)
    for _ in range(100):
        budget.add_call()
    assert budget.left == 2


def test_calls_that_fail_are_sent_once_when_the_budget_is_used(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url, retry_ratio=0.25, retry_reserve=2, attempts=3, breaker_failures=100)
    sent = []
    for _ in range(8):
        proxy.answer(*[BUSY] * 3)
        before = proxy.connections
        assert fails(ml).status == 503
        sent.append(proxy.connections - before)
        proxy.answer()
    assert sent == [3, 1, 1, 1, 2, 1, 1, 1]
    assert sum(sent) <= 8 * (1 + 0.25) + 2


def test_patience_has_no_budget(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url, retry_reserve=0, patience_s=60)
    proxy.answer(BUSY, BUSY, BUSY)
    assert ml.predict_failure(reading())["charger_id"]
    assert proxy.connections == 4


def test_a_retry_that_the_time_out_forbids_takes_nothing(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url, retry_reserve=1, retry_ratio=0)
    late = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    proxy.answer(BUSY.replace(b"Content", f"Retry-After: {late}\r\nContent".encode(), 1), BUSY)
    assert (fails(ml).retry_after_s or 0) > 3_000
    ml.predict_failure(reading())
    assert proxy.connections == 3


def pauses(error: ServiceUnavailable) -> list[float]:
    """The pauses before three retries."""
    found = []
    for attempt in attempts("call", most=4, budget=RetryBudget(0, 10), timeout_s=60):
        with attempt:
            found.append(attempt.retry_state.upcoming_sleep)
            if len(found) < 4:
                raise error
    return found[1:]


def test_pauses_are_spread_from_nothing_up_to_a_doubling_limit() -> None:
    many = [pauses(ServiceUnavailable("overloaded", "busy")) for _ in range(400)]
    for number, longest_s in enumerate((0.1, 0.2, 0.4)):
        waited = sorted(each[number] for each in many)
        assert 0 <= waited[0] < longest_s / 10
        assert longest_s * 9 / 10 < waited[-1] <= longest_s + 1e-9


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda: Settings(api_key="k", retry_reserve=-1), "retry_reserve: must be at least 0, not -1"),
        (lambda: Settings(api_key="k", retry_ratio=-0.1), "retry_ratio: must be at least 0, not -0.1"),
        (lambda: Settings(api_key="k", retry_ratio=float("nan")), "retry_ratio: must be at least 0, not nan"),
    ],
)
def test_a_wrong_budget_is_refused(wrong: Callable[[], Settings], problem: str) -> None:
    with pytest.raises(InvalidSettings, match=problem):
        wrong()
