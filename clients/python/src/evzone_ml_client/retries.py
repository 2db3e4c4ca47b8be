"""Retry rules: which errors, how often, and after how long."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias, cast

from tenacity import RetryCallState, Retrying
from tenacity.retry import retry_if_exception
from tenacity.stop import stop_after_attempt, stop_base, stop_before_delay
from tenacity.wait import wait_base, wait_random_exponential

from evzone_ml_client.errors import RequestRejected, ServiceUnavailable

# The pause before the n-th retry is random, from 0 up to 0.1, 0.2, 0.4, … seconds, in addition to
# `Retry-After`. This is "full jitter" of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). It
# spreads the retries of clients that failed at the same moment.
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
# A random share of `Retry-After`, from 0 up to this one, is added too. Otherwise all clients that were
# refused with the same value would come back within 0.1 s.
MOST_ADDED: Final = 0.5
# An earlier request with the same Idempotency-Key is still being received.
STILL_ACCEPTED: Final = "still_accepted"

log = logging.getLogger("evzone_ml_client")


@dataclass(frozen=True, slots=True)
class Retry:
    """A failed attempt (counted from 1) that will be repeated after `pause_s`.

    `elapsed_s` is the time since the call began.
    """

    call: str
    attempt: int
    error: RequestRejected | ServiceUnavailable
    elapsed_s: float
    pause_s: float


OnRetry: TypeAlias = Callable[[Retry], None]


class RetryBudget:
    """The retries that a client may still make, over all its calls. Thread-safe.

    Each call adds `ratio`, each retry takes 1, and at most `reserve` are saved. It begins with `reserve`. In
    an outage a client then sends at most `1 + ratio` times its calls, after the reserve is used. Otherwise
    retries would multiply the load that made the calls fail. The scheme is that of Finagle's `RetryBudget`,
    with a fixed reserve; gRPC's `retryThrottling` (proposal A6) is similar.
    """

    def __init__(self, ratio: float, reserve: int) -> None:
        # In thousandths, as gRPC counts: sums of floats are a little less than they should be.
        self._most = reserve * 1000
        self._each = round(ratio * 1000)
        self._left = self._most
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """The number of retries that are left."""
        return self._left / 1000

    def add_call(self) -> None:
        """Count a call."""
        with self._lock:
            self._left = min(self._most, self._left + self._each)

    def take(self) -> bool:
        """Take one retry. Returns whether there was one."""
        with self._lock:
            if self._left < 1000:
                return False
            self._left -= 1000
            return True


def attempts(
    name: str,
    *,
    most: int,
    budget: RetryBudget,
    timeout_s: float,
    patience_s: float | None = None,
    on_retry: OnRetry | None = None,
) -> Retrying:
    """Return at most `most` attempts of the call `name`, all started within `timeout_s`.

    If the next attempt would start after the time-out, or no retry is left in the budget, the last error is
    raised at once. `patience_s` replaces these limits: attempts continue for `patience_s` after the first
    failure. The last one starts then.

    The attempts do not sleep. `upcoming_sleep` of an attempt's state is the pause before it, in seconds.
    """
    pause = _asked_for(timeout_s if patience_s is None else None) + wait_random_exponential(
        multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S
    )
    outage = None if patience_s is None else _Outage(patience_s)
    # The budget comes last, so that only a retry that is made takes from it.
    limits = stop_after_attempt(most) | stop_before_delay(timeout_s) | _stop_without_budget(budget)
    return Retrying(
        stop=outage.over if outage else limits,
        wait=(lambda state: min(pause(state), outage.left_s(state))) if outage else pause,
        retry=retry_if_exception(may_succeed_later),
        sleep=lambda _pause_s: None,
        before_sleep=lambda state: _log_retry(name, state, on_retry),
        reraise=True,
    )


class _stop_without_budget(stop_base):  # noqa: N801 - tenacity's strategies are named so
    """Take a retry from the budget. Stop if there is none."""

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget

    def __call__(self, retry_state: RetryCallState) -> bool:
        return not self._budget.take()


class _Outage:
    """Lasts `patience_s` from the first failure. Time before it, such as a long upload, does not count."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._until: float | None = None

    def left_s(self, state: RetryCallState) -> float:
        failed_at = state.outcome_timestamp or 0.0  # always set when tenacity calls this
        if self._until is None:
            self._until = failed_at + self._patience_s
        return max(0.0, self._until - failed_at)

    def over(self, state: RetryCallState) -> bool:
        return self.left_s(state) == 0.0


def may_succeed_later(error: BaseException) -> bool:
    """Whether a retry may succeed: any `ServiceUnavailable`, and 409 `still_accepted`."""
    if isinstance(error, RequestRejected):
        return error.code == STILL_ACCEPTED
    return isinstance(error, ServiceUnavailable)


def retry_after_s(value: str | None, *, now: datetime | None = None) -> float | None:
    """Parse `Retry-After`, seconds or a date (RFC 9110), into seconds. None if absent or invalid."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


class _asked_for(wait_base):  # noqa: N801 - tenacity's strategies are named so
    """The pause requested by `Retry-After`, and a random share of it.

    The share takes at most half of the time that `timeout_s` leaves, so that the next attempt has the rest.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s

    def __call__(self, retry_state: RetryCallState) -> float:
        error = _error(retry_state)
        if not isinstance(error, RequestRejected | ServiceUnavailable) or not error.retry_after_s:
            return 0.0
        most = error.retry_after_s * MOST_ADDED
        if self._timeout_s is not None:
            left_s = self._timeout_s - (retry_state.seconds_since_start or 0.0) - error.retry_after_s
            most = min(most, max(0.0, left_s / 2))
        return error.retry_after_s + random.uniform(0.0, most)


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _log_retry(name: str, state: RetryCallState, on_retry: OnRetry | None) -> None:
    error = cast(RequestRejected | ServiceUnavailable, _error(state))  # no other error is retried
    retry = Retry(name, state.attempt_number, error, state.seconds_since_start or 0.0, state.upcoming_sleep)
    log.info("%s: attempt %d failed (%s), again in %.2f s", name, retry.attempt, error, retry.pause_s)
    if on_retry is not None:
        on_retry(retry)
