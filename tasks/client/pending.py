"""Requests that callers wait for. Identical requests share one entry (single flight).

The module uses no threads, clock or sockets. Times are `time.monotonic()` seconds that are passed in. The
caller of `settle` wakes the waiters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from readings.reading import Kind
from tasks.messaging.messages import ScoreRequest, ScoreResult

# Kind, tenant, fingerprint, whether to store: requests with equal keys are identical.
Key = tuple[Kind, str | None, str, bool]
Outcome = ScoreResult | Exception
Waiter = asyncio.Future[None]


@dataclass(slots=True, eq=False)
class PendingRequest:
    """One reading to score, for all callers that wait for it.

    `deadline` is the latest of its callers' deadlines. `outcome` is the result from cache or worker, or an
    error. `cached_only`: only the cache is read, because there is no capacity to wait for a worker. `trace`
    is the context of its first traced caller. `is_suspect`: a task with it was lost, perhaps because of it.
    """

    key: Key
    score_request: ScoreRequest
    deadline: float
    cached_only: bool = False
    trace: str | None = None
    is_suspect: bool = False
    outcome: Outcome | None = None
    waiters: list[Waiter] = field(default_factory=list)


class PendingRequests:
    """All pending requests of one process. Not thread-safe."""

    def __init__(self) -> None:
        self._requests: dict[Key, PendingRequest] = {}

    @property
    def callers(self) -> int:
        """Number of waiting callers."""
        return sum(len(request.waiters) for request in self._requests.values())

    def join(
        self,
        score_request: ScoreRequest,
        deadline: float,
        waiter: Waiter,
        now: float,
        *,
        cached_only: bool,
        trace: str | None = None,
    ) -> tuple[PendingRequest, bool]:
        """Add `waiter` to an identical request or to a new one. Returns the request, and whether it is new.

        Only a request that some caller still waits for is joined, and its deadline becomes the latest one. So
        a retry after a 504 does not wait for work that has expired. A `cached_only` request is never joined,
        because another caller may have capacity.
        """
        kind, tenant, _, fingerprint, _, store = score_request
        key = kind, tenant, fingerprint, store
        held = None if cached_only else self._requests.get(key)
        if held is None or held.deadline <= now:
            new = PendingRequest(key, score_request, deadline, cached_only, trace, waiters=[waiter])
            if not cached_only:
                self._requests[key] = new
            return new, True
        held.waiters.append(waiter)
        held.trace = held.trace or trace
        held.deadline = max(held.deadline, deadline)
        held.score_request = held.score_request._replace(
            expires_at=max(held.score_request.expires_at, score_request.expires_at)
        )
        return held, False

    def leave(self, request: PendingRequest, waiter: Waiter) -> None:
        """Remove a caller that waits no more. Others may go on joining a request while no worker answers."""
        if request.outcome is None:
            request.waiters.remove(waiter)

    def settle(self, outcomes: Iterable[tuple[PendingRequest, Outcome]]) -> list[Waiter]:
        """Set outcomes; return the waiters to wake.

        The first outcome of a request counts, as a task and its retry may both be answered.
        """
        waiters: list[Waiter] = []
        for request, outcome in outcomes:
            if request.outcome is None:
                request.outcome = outcome
                self._remove(request)
                waiters += request.waiters
        return waiters

    def forget_expired(self, requests: Iterable[PendingRequest], at: float) -> list[PendingRequest]:
        """Forget the requests whose deadline is before `at`; return the others that have no outcome yet.

        The next request that is identical to a forgotten one starts a new entry.
        """
        wanted: list[PendingRequest] = []
        for request in requests:
            if request.outcome is not None:
                continue
            if request.deadline > at:
                wanted.append(request)
            else:
                self._remove(request)
        return wanted

    def _remove(self, request: PendingRequest) -> None:
        if self._requests.get(request.key) is request:
            del self._requests[request.key]
