"""What a call may raise: the service refused the request, or it could not answer.

MLClientError
├── InvalidSettings      wrong settings, when a client is made
├── RequestRejected      4xx: the same request will be refused again
│   └── NotFound         404
├── ServiceUnavailable   no answer, for one of `Reason`; may carry the last known prediction
└── JobNotFinished       a batch that takes longer than its caller wanted to wait
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evzone_ml_client.schemas import FieldProblem, Job, Problem
    from evzone_ml_client.stale import StalePrediction

Reason = Literal[
    "disabled",  # by ML_SERVICE_ENABLED
    "circuit_open",  # it has failed too often; nothing was sent
    "unreachable",  # no connection, or one that was cut
    "timeout",  # no answer within the time-out, or the body did not come in time (408)
    "overloaded",  # 429, or 503 `queue_full`
    "server_error",  # 5xx
    "not_understood",  # an answer that is none of this service's, a gateway's page for example
]


class MLClientError(Exception):
    """Base of all errors of this package. They can be pickled, as Celery and multiprocessing do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[MLClientError], args: tuple[Any, ...]) -> MLClientError:
    """An error without what its `__init__` asks for; pickle fills in the rest."""
    error = kind.__new__(kind)
    error.args = args
    return error


class InvalidSettings(MLClientError, ValueError):
    """Raised when settings are wrong; `problems` has a line for each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class RequestRejected(MLClientError):
    """Raised when the service refuses a request as it is (4xx).

    `problem` is the RFC 9457 document; None where a gateway on the way answered something else. `detail` is
    the problem in words, or how that other answer began. `retry_after_s` is there where it may be accepted
    later after all (409 `still_accepted`).
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
        """The kind of problem in one word, `invalid_reading` for example; empty where it is not known."""
        return self.problem["code"] if self.problem else ""

    @property
    def errors(self) -> list[FieldProblem]:
        """Each field that is wrong."""
        return self.problem.get("errors", []) if self.problem else []


class NotFound(RequestRejected):
    """Raised for 404: no such job, for example."""


class ServiceUnavailable(MLClientError):
    """Raised when no answer could be had within the time-out, for `reason`.

    `retry_after_s` is when to ask again, where that is known. `stale` is the newest failure prediction that
    this client has seen of the charger that was asked about, None where there is none.
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
    """Raised when a batch is not scored within the wait; `job` goes on, and can be followed by its id."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"Job {job['job_id']} is {job['status']}: {job['done']} of {job['total']} rows.")
