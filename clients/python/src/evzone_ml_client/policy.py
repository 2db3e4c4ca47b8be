"""Policy of one call for both clients: circuit, time-out, retries, and the last prediction."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from evzone_ml_client.breaker import Circuit
from evzone_ml_client.calls import Call
from evzone_ml_client.errors import NotFound, Reason, RequestRejected, ServiceUnavailable
from evzone_ml_client.exchange import ApiResponse, Exchange, Flow, Request
from evzone_ml_client.retries import OnRetry, RetryBudget, attempts, retry_after_s
from evzone_ml_client.schemas import FailurePrediction, Problem
from evzone_ml_client.settings import Settings
from evzone_ml_client.stale import LastPredictions

T = TypeVar("T")

# 4xx that a retry may solve: the body was lost in transit, or the service sheds load.
MAY_PASS: Final[Mapping[int, Reason]] = {408: "timeout", 429: "overloaded"}
# Problem codes of a 503 and a 507 for shed load.
SHED: Final = frozenset({"queue_full", "insufficient_storage"})
# Length of the excerpt from a response that is not the service's.
STRANGE_CHARS: Final = 100


class Policy:
    """Policy shared by all calls of one client. Safe for any number of threads and tasks."""

    def __init__(self, settings: Settings, on_retry: OnRetry | None = None) -> None:
        self.settings = settings
        self.on_retry = on_retry
        self.circuit = Circuit(
            urlsplit(settings.url).netloc,
            failures=settings.breaker_failures,
            open_s=settings.breaker_open_s,
        )
        self.budget = RetryBudget(settings.retry_ratio, settings.retry_reserve)
        self.last = LastPredictions(settings.stale_entries, settings.stale_ttl_s)

    def flow(self, call: Call[T]) -> Flow[T]:
        """Yield the exchanges of a call and return its result. Does not block.

        Raises `RequestRejected`, `ServiceUnavailable`, and the errors of `call.read` other than `ValueError`.
        """
        try:
            result = yield from self._answered(call)
        except ServiceUnavailable as error:
            if call.about is not None:
                error.stale = self.last.get(call.about)
            raise
        if call.about is not None:
            self.last.keep(call.about, cast(FailurePrediction | None, result))
        return result

    def _answered(self, call: Call[T]) -> Flow[T]:
        if not self.settings.enabled:
            raise ServiceUnavailable("disabled", "by setting")
        try:
            return (yield from self._guarded(call) if call.guarded else self._once(call))
        except NotFound as error:
            if error.code != call.absent:
                raise
            return cast(T, None)

    def _guarded(self, call: Call[T]) -> Flow[T]:
        with self.circuit:
            return (yield from self._attempts(call))

    def _once(self, call: Call[T]) -> Flow[T]:
        request_id = uuid4().hex
        exchange = Exchange(_request(call, request_id), 0.0, self._timeout_s(call))
        return (yield from _attempt(call, exchange, request_id))

    def _attempts(self, call: Call[T]) -> Flow[T]:
        timeout_s, patience_s = self._timeout_s(call), self.settings.patience_s
        deadline = time.monotonic() + timeout_s
        request_id = uuid4().hex
        self.budget.add_call()
        for attempt in attempts(
            call.name,
            most=self.settings.attempts,
            budget=self.budget,
            timeout_s=timeout_s,
            patience_s=patience_s,
            on_retry=self.on_retry,
        ):
            with attempt:
                request = _request(call, request_id)
                pause_s = attempt.retry_state.upcoming_sleep
                left_s = timeout_s if patience_s is not None else deadline - time.monotonic() - pause_s
                return (yield from _attempt(call, Exchange(request, pause_s, left_s), request_id))
        raise AssertionError("tenacity ends by an error or a result")

    def _timeout_s(self, call: Call[T]) -> float:
        return self.settings.timeout_s if call.timeout_s is None else call.timeout_s


def _request(call: Call[T], request_id: str) -> Request:
    request = call.request() if callable(call.request) else call.request
    return replace(request, headers={**request.headers, "X-Request-ID": request_id})


def _attempt(call: Call[T], exchange: Exchange, request_id: str) -> Flow[T]:
    try:
        answer = yield exchange
    except (TimeoutError, httpx.TimeoutException):
        detail = "no answer within the time-out"
        raise ServiceUnavailable("timeout", detail, request_id=request_id) from None
    except httpx.TransportError as error:
        detail = str(error) or type(error).__name__
        raise ServiceUnavailable("unreachable", detail, request_id=request_id) from error
    except httpx.DecodingError as error:
        raise ServiceUnavailable("not_understood", str(error), request_id=request_id) from error
    _check(answer, request_id)
    try:
        return call.read(answer)
    except ValueError as error:
        detail = f"{_strange(answer)} ({error})"
        raise ServiceUnavailable(
            "not_understood", detail, request_id=request_id, status=answer.status
        ) from error


def _check(answer: ApiResponse, request_id: str) -> None:
    """Raise the error for a status other than 2xx."""
    status = answer.status
    if 200 <= status < 300:
        return
    problem = _problem(answer)
    if problem is not None:
        request_id = problem["request_id"] or request_id
    wait_s = retry_after_s(answer.headers.get("Retry-After"))
    if 400 <= status < 500 and status not in MAY_PASS:
        kind = NotFound if status == httpx.codes.NOT_FOUND else RequestRejected
        raise kind(
            status, problem, request_id, wait_s, detail=problem["detail"] if problem else _strange(answer)
        )
    reason: Reason = MAY_PASS.get(status, "server_error" if status >= 500 else "not_understood")
    if problem is not None and problem["code"] in SHED:
        reason = "overloaded"
    detail = f"{status} {problem['code']}: {problem['detail']}" if problem else _strange(answer)
    raise ServiceUnavailable(reason, detail, request_id=request_id, status=status, retry_after_s=wait_s)


def _strange(answer: ApiResponse) -> str:
    began = " ".join(answer.body.decode(errors="replace").split())[:STRANGE_CHARS]
    return f"what answers at {answer.url} is not the service: {answer.status} {began}"


def _problem(answer: ApiResponse) -> Problem | None:
    """Return the problem document of a response, or None for another body, such as a gateway's."""
    if not answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        return None
    try:
        document: Any = json.loads(answer.body)
    except ValueError:
        return None
    if not isinstance(document, dict) or not {"code", "detail", "request_id"} <= document.keys():
        return None
    return cast(Problem, document)
