"""Circuit breaker: after several failed calls in a row, fail fast; later allow one trial call."""

from __future__ import annotations

import logging
import math
from typing import Final, Literal, TypeAlias, cast

from interlock import CircuitBreaker, CircuitOpenError, Config, CoreEventListener, State

from evzone_ml_client.errors import ServiceUnavailable

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]

# These do not open the circuit: a service that sheds load still responds.
NOT_COUNTED: Final = frozenset({"overloaded"})

log = logging.getLogger("evzone_ml_client")


class Circuit:
    """Context manager around one call, for any thread or task. Raises `ServiceUnavailable` while open.

    `ServiceUnavailable` counts as a failure, except for shed load (429, 503 `queue_full`, 507). Refused
    requests (4xx) count as successes, because the service responded. Cancelled calls do not count.
    """

    def __init__(self, name: str, *, failures: int, open_s: float) -> None:
        # All of the last `failures` calls must have failed: that many in a row.
        config = Config(
            window_size=failures,
            minimum_number_of_calls=failures,
            failure_rate_threshold=1.0,
            slow_call_duration_threshold=math.inf,  # a large upload is slow, not failed
            permitted_calls_in_half_open=1,
            wait_duration_in_open=open_s,
        )
        self._breaker = CircuitBreaker(name=name, config=config, classifier=_Classifier(), listener=_Log())

    @property
    def state(self) -> CircuitState:
        """State of the circuit. `half_open` lasts only while the trial call is in progress."""
        return cast(CircuitState, self._breaker.state.value)

    def __enter__(self) -> None:
        try:
            self._breaker.__enter__()
        except CircuitOpenError as error:
            raise ServiceUnavailable(
                "circuit_open", "the service has failed too often", retry_after_s=error.retry_after
            ) from None

    def __exit__(self, *raised: object) -> None:
        self._breaker.__exit__(*raised)  # type: ignore[arg-type]  # the arguments of __exit__


class _Classifier:
    def is_failure(self, *, result: object, exception: Exception | None) -> bool:
        return isinstance(exception, ServiceUnavailable) and exception.reason not in NOT_COUNTED


class _Log(CoreEventListener):
    def on_state_change(self, *, name: str, old: State, new: State) -> None:
        level = logging.WARNING if new is State.OPEN else logging.INFO
        log.log(level, "circuit of %s: %s, was %s", name, new, old)
