"""The circuit: after so many failed calls in a row no more are made for a while, then one is let through."""

from __future__ import annotations

import logging
import math
from typing import Final, Literal, TypeAlias, cast

from interlock import CircuitBreaker, CircuitOpenError, Config, CoreEventListener, State

from evzone_ml_client.errors import ServiceUnavailable

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]

# Failures that say nothing against the service: it sheds load, and answers.
NOT_COUNTED: Final = frozenset({"overloaded"})

log = logging.getLogger("evzone_ml_client")


class Circuit:
    """`with circuit:` around a call, of any thread or task. Raises `ServiceUnavailable` while it is open.

    What counts as a failure is `ServiceUnavailable`, but for shed load (429, 503 `queue_full`). Refused
    requests (4xx) are successes: the service has answered. A cancelled call counts as neither.
    """

    def __init__(self, name: str, *, failures: int, open_s: float) -> None:
        # Of the last `failures` calls, all of them: so many in a row.
        config = Config(
            window_size=failures,
            minimum_number_of_calls=failures,
            failure_rate_threshold=1.0,
            slow_call_duration_threshold=math.inf,  # a large file takes its time
            permitted_calls_in_half_open=1,
            wait_duration_in_open=open_s,
        )
        self._breaker = CircuitBreaker(name=name, config=config, classifier=_Classifier(), listener=_Log())

    @property
    def state(self) -> CircuitState:
        """`half_open` only while the call that was let through is under way."""
        return cast(CircuitState, self._breaker.state.value)

    def __enter__(self) -> None:
        try:
            self._breaker.__enter__()
        except CircuitOpenError as error:
            raise ServiceUnavailable(
                "circuit_open", "the service has failed too often", retry_after_s=error.retry_after
            ) from None

    def __exit__(self, *raised: object) -> None:
        self._breaker.__exit__(*raised)  # type: ignore[arg-type]  # the three of a with statement


class _Classifier:
    def is_failure(self, *, result: object, exception: Exception | None) -> bool:
        return isinstance(exception, ServiceUnavailable) and exception.reason not in NOT_COUNTED


class _Log(CoreEventListener):
    def on_state_change(self, *, name: str, old: State, new: State) -> None:
        level = logging.WARNING if new is State.OPEN else logging.INFO
        log.log(level, "circuit of %s: %s, was %s", name, new, old)
