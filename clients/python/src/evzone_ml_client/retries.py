"""When the same request is made again, and after how long."""

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

# The pause before the n-th repetition is anything from 0 to 0.1, 0.2, 0.4, … seconds, on top of what the
# service asks for: those who have failed together do not come back together.
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
# The first of two requests with one Idempotency-Key is still being received.
STILL_ACCEPTED: Final = "still_accepted"

log = logging.getLogger("evzone_ml_client")


@dataclass(frozen=True, slots=True)
class Retry:
    """An attempt that has failed, and when the next one follows. `attempt` counts from 1.

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
    """Attempts of the call `name`, `most` at most, none of which begins later than `timeout_s`.

    An attempt that would begin after the time-out is not waited for: the last error is raised at once. With
    `patience_s` they go on until they have failed for so long instead, and the last one is made then.

    They do not sleep themselves: `upcoming_sleep` of an attempt's state is what is to be waited before it.
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
    """Lasts `patience_s` from the first failure on. What came before it, a long upload, does not count."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._until: float | None = None

    def left_s(self, state: RetryCallState) -> float:
        failed_at = state.outcome_timestamp or 0.0  # there is one when tenacity asks
        if self._until is None:
            self._until = failed_at + self._patience_s
        return max(0.0, self._until - failed_at)

    def over(self, state: RetryCallState) -> bool:
        return self.left_s(state) == 0.0


def may_succeed_later(error: BaseException) -> bool:
    if isinstance(error, RequestRejected):
        return error.code == STILL_ACCEPTED
    return isinstance(error, ServiceUnavailable)


def retry_after_s(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` asks for, whether it names them or a date (RFC 9110). None: nothing."""
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
    """What the service asks for by `Retry-After`."""

    def __call__(self, retry_state: RetryCallState) -> float:
        error = _error(retry_state)
        if isinstance(error, RequestRejected | ServiceUnavailable):
            return error.retry_after_s or 0.0
        return 0.0


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _log_retry(name: str, state: RetryCallState, on_retry: OnRetry | None) -> None:
    error = cast(RequestRejected | ServiceUnavailable, _error(state))  # no other is tried again
    retry = Retry(name, state.attempt_number, error, state.seconds_since_start or 0.0, state.upcoming_sleep)
    log.info("%s: attempt %d failed (%s), again in %.2f s", name, retry.attempt, error, retry.pause_s)
    if on_retry is not None:
        on_retry(retry)
