"""Clients that were refused with the same `Retry-After` do not come back at the same moment."""

from __future__ import annotations

import random

import pytest

from evzone_ml_client import ServiceUnavailable
from evzone_ml_client.retries import FIRST_PAUSE_S, Retry, RetryBudget, attempts


def pause_s(
    retry_after_s: float | None, *, timeout_s: float = 60.0, patience_s: float | None = None
) -> float:
    """The pause after the first attempt. Raises the attempt's error if there is none."""
    retries: list[Retry] = []
    for attempt in attempts(
        "call",
        most=2,
        budget=RetryBudget(0.0, 1),
        timeout_s=timeout_s,
        patience_s=patience_s,
        on_retry=retries.append,
    ):
        if attempt.retry_state.attempt_number == 2:
            break
        with attempt:
            raise ServiceUnavailable("overloaded", "busy", retry_after_s=retry_after_s)
    return retries[0].pause_s


@pytest.mark.parametrize("patience_s", [None, 60.0])
@pytest.mark.parametrize(("share", "expected_s"), [(0.0, 4.0), (0.5, 5.0), (1.0, 6.0)])
def test_a_random_share_of_retry_after_is_added(
    monkeypatch: pytest.MonkeyPatch, share: float, expected_s: float, patience_s: float | None
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low + share * (high - low))
    assert pause_s(4.0, patience_s=patience_s) == pytest.approx(expected_s + share * FIRST_PAUSE_S)
    assert pause_s(None, patience_s=patience_s) == pytest.approx(share * FIRST_PAUSE_S)


def test_the_share_leaves_the_next_attempt_half_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda _, high: high)
    assert 4.0 <= pause_s(4.0, timeout_s=5.0) <= 4.5 + FIRST_PAUSE_S


def test_clients_come_back_over_half_of_retry_after_and_none_before_it() -> None:
    pauses = [pause_s(10.0) for _ in range(500)]
    assert min(pauses) >= 10.0
    assert max(pauses) <= 15.0 + FIRST_PAUSE_S
    assert all(any(at <= pause < at + 1 for pause in pauses) for at in (10, 11, 12, 13, 14))


def test_no_pause_is_begun_where_retry_after_passes_the_time_out() -> None:
    with pytest.raises(ServiceUnavailable):
        pause_s(5.1, timeout_s=5.0)
