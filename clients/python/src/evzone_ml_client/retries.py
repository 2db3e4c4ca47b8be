"""Retry rules: which errors, how often, and after how long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias, cast

from tenacity import RetryCallState, Retrying
from tenacity.retry import retry_if_exception
from tenacity.stop import stop_after_attempt, stop_before_delay
from tenacity.wait import wait_base, wait_random_exponential

from evzone_ml_client.errors import RequestRejected, ServiceUnavailable

# The pause before the n-th retry is random, up to 0.1, 0.2, 0.4, … seconds, in addition to `Retry-After`.
# Randomness spreads the retries of clients that failed at the same moment.
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
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


def attempts(
    name: str,
    *,
    most: int,
    timeout_s: float,
    patience_s: float | None = None,
    on_retry: OnRetry | None = None,
) -> Retrying:
    """Return at most `most` attempts of the call `name`, all started within `timeout_s`.

    If the next attempt would start after the time-out, the last error is raised at once. `patience_s`
    replaces both limits: attempts continue for `patience_s` after the first failure. The last one starts
    then.

    The attempts do not sleep. `upcoming_sleep` of an attempt's state is the pause before it, in seconds.
    """
    pause = _asked_for() + wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S)
    outage = None if patience_s is None else _Outage(patience_s)
    return Retrying(
        stop=outage.over if outage else stop_after_attempt(most) | stop_before_delay(timeout_s),
        wait=(lambda state: min(pause(state), outage.left_s(state))) if outage else pause,
        retry=retry_if_exception(may_succeed_later),
        sleep=lambda _pause_s: None,
        before_sleep=lambda state: _log_retry(name, state, on_retry),
        reraise=True,
    )


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
    """The pause requested by `Retry-After`."""

    def __call__(self, retry_state: RetryCallState) -> float:
        error = _error(retry_state)
        if isinstance(error, RequestRejected | ServiceUnavailable):
            return error.retry_after_s or 0.0
        return 0.0


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _log_retry(name: str, state: RetryCallState, on_retry: OnRetry | None) -> None:
    error = cast(RequestRejected | ServiceUnavailable, _error(state))  # no other error is retried
    retry = Retry(name, state.attempt_number, error, state.seconds_since_start or 0.0, state.upcoming_sleep)
    log.info("%s: attempt %d failed (%s), again in %.2f s", name, retry.attempt, error, retry.pause_s)
    if on_retry is not None:
        on_retry(retry)
