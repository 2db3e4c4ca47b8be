"""Errors of a call: the service refused the request, or gave no valid response.

MLClientError
├── InvalidSettings      wrong settings, raised when a client is created
├── RequestRejected      4xx: the same request will be refused again
│   └── NotFound         404
├── ServiceUnavailable   no valid response, for one of `Reason`; may carry the last prediction
└── JobNotFinished       a job that has not ended: after the wait, or at a download
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evzone_ml_client.schemas import FieldProblem, Job, Problem
    from evzone_ml_client.stale import StalePrediction

Reason = Literal[
    "disabled",  # by the setting `enabled` (ML_SERVICE_ENABLED)
    "circuit_open",  # too many failed calls; nothing was sent
    "unreachable",  # no connection, or a broken one
    "timeout",  # no response in time, or the request body arrived too late (408)
    "overloaded",  # 429, 503 `queue_full`, or 507
    "server_error",  # 5xx
    "not_understood",  # not a response of this service, for example a gateway's error page
]


class MLClientError(Exception):
    """Base class of all errors of this package. Its errors can be pickled, for Celery and multiprocessing."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[MLClientError], args: tuple[Any, ...]) -> MLClientError:
    """Create an error without calling its `__init__`; pickle restores the attributes."""
    error = kind.__new__(kind)
    error.args = args
    return error


class InvalidSettings(MLClientError, ValueError):
    """Wrong settings. `problems` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class RequestRejected(MLClientError):
    """The service refused the request (4xx).

    `problem` is the RFC 9457 document, or None if the response came from a gateway. `detail` is the problem's
    text, or the start of the gateway's response. `retry_after_s` is set if a later attempt may succeed (409
    `still_accepted`).
    """

    def __init__(
        self,
        status: int,
        problem: Problem | None,
        request_id: str,
        retry_after_s: float | None = None,
        *,
        detail: str = "",
    ) -> None:
        self.status = status
        self.problem = problem
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.detail = detail or (problem["detail"] if problem else "no problem document")
        super().__init__(f"{status} {self.code}: {self.detail} (request {request_id})")

    @property
    def code(self) -> str:
        """Machine-readable problem code, for example `invalid_reading`; empty if unknown."""
        return self.problem["code"] if self.problem else ""

    @property
    def errors(self) -> list[FieldProblem]:
        """The invalid fields."""
        return self.problem.get("errors", []) if self.problem else []


class NotFound(RequestRejected):
    """404: the job or charger is unknown."""


class ServiceUnavailable(MLClientError):
    """No valid response arrived within the time-out. `reason` is the cause.

    `retry_after_s` is the service's `Retry-After`, or the remaining time of an open circuit, if known.
    `stale` is the newest failure prediction that this client received for the charger, or None.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        request_id: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.reason: Reason = reason
        self.detail = detail
        self.request_id = request_id
        self.status = status
        self.retry_after_s = retry_after_s
        self.stale: StalePrediction | None = None
        super().__init__(f"{reason}: {detail}" + (f" (request {request_id})" if request_id else ""))


class JobNotFinished(MLClientError):
    """A job has not ended, within the wait or at a download. It continues; `get_job` reads its state."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"Job {job['job_id']} is {job['status']}: {job['done']} of {job['total']} rows.")
