"""Everything that can go wrong, as one tree.

It knows neither HTTP nor Celery nor Kafka: `web/http/errors.py` turns a code into a status, the consumer
turns `retryable` into pause or dead letter. `code` is the same short word in a problem document, a dead
letter's header and a metric's label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class ServiceError(Exception):
    """Base of every error this service raises on purpose.

    `code` names it for machines, `retryable` says whether the same request may succeed later, and
    `retry_after_s` is a hint in seconds for those that are.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    retry_after_s: ClassVar[int | None] = None


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong: an RFC 6901 pointer into the body, what is wrong, and a short code."""

    pointer: str
    detail: str
    code: str = "invalid"


class InvalidReading(ServiceError):
    """Raised when a body of readings or a record is not what the contract says; names each field."""

    code = "invalid_reading"

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{e.pointer or 'body'}: {e.detail}" for e in errors))


class InvalidParameter(InvalidReading):
    """Raised for the same of a query parameter, a header, or a body that holds no reading."""

    code = "invalid_parameter"


class MalformedBody(ServiceError):
    """Raised when bytes cannot be decoded at all (broken JSON, wrong encoding)."""

    code = "malformed_body"


class UnsupportedMediaType(ServiceError):
    """Raised when a body is of another media type, or otherwise encoded, than the endpoint reads."""

    code = "unsupported_media_type"


class Unauthorized(ServiceError):
    """Raised when a request names no valid key."""

    code = "unauthorized"


class Forbidden(ServiceError):
    """Raised when the key is valid and lacks the role that the request needs."""

    code = "forbidden"


class NotFound(ServiceError):
    """Raised when the thing asked for is not there."""

    code = "not_found"


class UnknownCharger(NotFound):
    """Raised when nothing is stored for this charger."""

    code = "unknown_charger"


class UnknownJob(NotFound):
    """Raised when no job has this id, or it has expired."""

    code = "unknown_job"


class UnknownModel(NotFound):
    """Raised when no model has this name or version."""

    code = "unknown_model"


class Conflict(ServiceError):
    """Raised when a request contradicts what is already stored."""

    code = "conflict"


class StillAccepted(Conflict):
    """Raised when the same request is being accepted right now; the same again will then be answered."""

    code = "still_accepted"
    retryable = True
    retry_after_s = 2


class ModelRefused(ServiceError):
    """Raised when a version folder is damaged, tampered with or incompatible; says which and why."""

    code = "model_refused"


class ScoringFailed(ServiceError):
    """Raised when a model could not score a valid reading."""

    code = "scoring_failed"


class ModelsUnavailable(ServiceError):
    """Raised by a worker that holds no models: it says nothing about the reading, which another may score."""

    code = "models_unavailable"
    retryable = True
    retry_after_s = 5


class QueueFull(ServiceError):
    """Raised when more is waiting than may wait; nothing was accepted."""

    code = "queue_full"
    retryable = True
    retry_after_s = 1


class BrokerUnavailable(ServiceError):
    """Raised when the queue cannot be reached; nothing was accepted."""

    code = "broker_unavailable"
    retryable = True
    retry_after_s = 2


class PredictionTimeout(ServiceError):
    """Raised when no verdict came before the caller's deadline."""

    code = "prediction_timeout"
    retryable = True
    retry_after_s = 1


class SettingsInvalid(ServiceError):
    """Raised at start when settings are wrong; one readable line each."""

    code = "settings_invalid"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))
