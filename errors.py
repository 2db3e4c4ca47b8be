"""All errors of the service, as one tree.

The tree does not depend on HTTP, Celery or Kafka. `web/http/errors.py` maps a code to a status; the consumer
maps `retryable` to a pause or a dead letter. `code` is the same in problem documents, dead-letter headers and
metric labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple


class ServiceError(Exception):
    """Base class of every error that this service raises on purpose.

    `code` identifies it for machines. `retryable`: the same request may succeed later. `retry_after_s` is a
    hint in seconds for retryable errors.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class FieldError:
    """An invalid field: an RFC 6901 pointer into the body, the problem, and a short code."""

    pointer: str
    detail: str
    code: str = "invalid"


class InvalidReading(ServiceError):
    """Raised when a body of readings or a record violates the contract. `errors` lists the fields."""

    code = "invalid_reading"

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{e.pointer or 'body'}: {e.detail}" for e in errors))


class InvalidParameter(InvalidReading):
    """Raised for an invalid query parameter, header, or body without readings."""

    code = "invalid_parameter"


class MalformedBody(ServiceError):
    """Raised when bytes cannot be decoded (broken JSON, wrong encoding)."""

    code = "malformed_body"


class BodyTooSlow(ServiceError):
    """Raised when a request's body is not complete in time."""

    code = "request_timeout"


class UnsupportedMediaType(ServiceError):
    """Raised when the endpoint does not support the body's media type or encoding."""

    code = "unsupported_media_type"


class Unauthorized(ServiceError):
    """Raised when a request has no valid key."""

    code = "unauthorized"


class TooManyWrongKeys(ServiceError):
    """Raised for a wrong key from an address that has sent many. A valid key is accepted meanwhile."""

    code = "too_many_wrong_keys"
    retryable = True
    retry_after_s = 2

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(
            "The header X-API-Key names no valid key, and this address has sent many wrong ones."
        )


class Forbidden(ServiceError):
    """Raised when a valid key lacks the role that the request needs."""

    code = "forbidden"


class NotFound(ServiceError):
    """Raised when the requested resource does not exist."""

    code = "not_found"


class UnknownCharger(NotFound):
    """Raised when nothing is stored for this charger."""

    code = "unknown_charger"


class UnknownOutcome(NotFound):
    """Raised when no outcome has this id."""

    code = "unknown_outcome"


class UnknownAlert(NotFound):
    """Raised when no alert has this id, or its record has expired."""

    code = "unknown_alert"


class UnknownJob(NotFound):
    """Raised when no job has this id, or it has expired."""

    code = "unknown_job"


class UnknownWebhook(NotFound):
    """Raised when no webhook of the tenant has this id."""

    code = "unknown_webhook"


class UnknownModel(NotFound):
    """Raised when no model has this name or version."""

    code = "unknown_model"


class Conflict(ServiceError):
    """Raised when a request contradicts stored data."""

    code = "conflict"


class StillAccepted(Conflict):
    """Raised while the same request is still being received. A retry gets its answer."""

    code = "still_accepted"
    retryable = True
    retry_after_s = 2


class ModelRefused(ServiceError):
    """Raised when a version folder is damaged, modified or incompatible. The message gives the reason."""

    code = "model_refused"


class ScoringFailed(ServiceError):
    """Raised when a model could not score a valid reading."""

    code = "scoring_failed"


class ModelsUnavailable(ServiceError):
    """Raised by a worker without models. The reading is not at fault; another worker may score it."""

    code = "models_unavailable"
    retryable = True
    retry_after_s = 5


class QueueFull(ServiceError):
    """Raised when a limit of requests at the same time is reached. Nothing was accepted.

    `capacity` is the limit's name: `predictions`, `threads`, `downloads` or `fleets`.
    """

    code = "queue_full"
    retryable = True
    retry_after_s = 1

    def __init__(self, capacity: str) -> None:
        self.capacity = capacity
        super().__init__("Too many requests are waiting already.")


class TooManyFromAddress(ServiceError):
    """Raised when the client's address has too many requests open. Nothing was accepted."""

    code = "too_many_from_address"
    retryable = True
    retry_after_s = 1


class InsufficientStorage(ServiceError):
    """Raised before disk or memory is full, here or in Redis. Nothing was accepted."""

    code = "insufficient_storage"
    retryable = True
    retry_after_s = 30


class LimitState(NamedTuple):
    """A limit of a caller: its name, the quota, and the part of it that is left.

    `window_s` is the time to which the quota applies, in seconds; None for a limit of jobs, rows or bytes
    held at once. `reset_s` is the time within which no more than `left` may be used.
    """

    name: str
    quota: int
    left: int
    window_s: int | None = None
    reset_s: int | None = None


class RateLimited(ServiceError):
    """Raised when a limit of a key or tenant is reached. Nothing was accepted.

    `limit` is its name, for example `tenant-readings`. `wait_s` is the time until a retry may succeed, in
    seconds. `limits` are the states of all limits of the caller that the request met.
    """

    code = "rate_limited"
    retryable = True
    retry_after_s = 1

    def __init__(self, detail: str, *, limit: str, wait_s: float, limits: Sequence[LimitState] = ()) -> None:
        self.limit = limit
        self.retry_after_s = max(1, math.ceil(wait_s))
        self.limits = limits
        super().__init__(detail)


class BatchTooLarge(ServiceError):
    """Raised when a batch alone is over a limit of its key or tenant."""

    code = "too_large"


class BrokerUnavailable(ServiceError):
    """Raised when the queue is unreachable. Nothing was accepted."""

    code = "broker_unavailable"
    retryable = True
    retry_after_s = 2


class PredictionTimeout(ServiceError):
    """Raised when no verdict arrived before the caller's deadline."""

    code = "prediction_timeout"
    retryable = True
    retry_after_s = 1


class SettingsInvalid(ServiceError):
    """Raised at start for wrong settings. `problems` has one line for each."""

    code = "settings_invalid"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))
