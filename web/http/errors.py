"""Map errors to HTTP statuses and RFC 9457 bodies (`application/problem+json`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson
from flask import Flask, request
from redis import RedisError
from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge

import errors
import metrics
from readings.parsing import field_errors
from tasks.monitoring.watermarks import full
from web.http.messages import Response, current_request
from web.http.rate_limits import limit_headers

log = logging.getLogger(__name__)

STATUS_BY_ERROR: Final[dict[type[errors.ServiceError], HTTPStatus]] = {
    errors.MalformedBody: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.TooManyWrongKeys: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.BodyTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    errors.BatchTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.InvalidReading: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.ModelRefused: HTTPStatus.CONFLICT,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.QueueFull: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.TooManyFromAddress: HTTPStatus.TOO_MANY_REQUESTS,
    errors.InsufficientStorage: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.ModelsUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.BrokerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.PredictionTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    errors.ScoringFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
}
CODE_BY_STATUS: Final = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    411: "length_required",
    413: "too_large",
    422: "invalid_request",
}
PROBLEM_TYPE: Final = "application/problem+json"
# Details of a bug are logged and not sent to the caller.
INTERNAL_DETAIL: Final = "Something went wrong here; the request id finds it in the service's log."


@dataclass(frozen=True, slots=True)
class Problem:
    """An error response: the members of RFC 9457, and headers."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    field_problems: Sequence[errors.FieldError] | None = None

    def all_headers(self) -> dict[str, str]:
        """The headers with the content type of RFC 9457."""
        return {"Content-Type": PROBLEM_TYPE, **self.headers}

    def body(self, request_id: str) -> bytes:
        """The problem document as JSON."""
        document: dict[str, Any] = {
            "type": f"urn:evzone:ml:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.field_problems is not None:
            document["errors"] = [asdict(each) for each in self.field_problems]
        return orjson.dumps(document)


def register(app: Flask) -> None:
    """Register handlers that answer every error of `app` with a problem document."""
    app.register_error_handler(HTTPException, _from_http_exception)
    app.register_error_handler(Exception, _from_error)


def problem_of(error: Exception, *, retry_location: str | None = None) -> Problem:
    """The problem document of an error. Logs Redis errors, and unexpected errors with their traceback.

    `retry_location` is the path of a verdict that arrives after the timeout.
    """
    shortage = full(error)
    if shortage is not None:
        log.error("no room: %s", error)
        error = shortage
    elif isinstance(error, RedisError):
        log.warning("Redis unavailable: %s", error)
        error = errors.BrokerUnavailable("Redis cannot be reached.")
    if not isinstance(error, errors.ServiceError):
        log.exception("unexpected error", exc_info=error)
        return Problem(500, "internal", INTERNAL_DETAIL)
    if isinstance(error, errors.QueueFull):
        metrics.REQUESTS_SHED.labels(capacity=error.capacity).inc()
    if isinstance(error, errors.InsufficientStorage):
        metrics.REQUESTS_SHED.labels(capacity="storage").inc()
    status = next(
        (STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, errors.RateLimited):
        metrics.REQUESTS_LIMITED.labels(limit=error.limit).inc()
        headers |= limit_headers(error.limits)
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = 'ApiKey realm="evzone-ml"'
    if isinstance(error, errors.BodyTooSlow | errors.TooManyFromAddress | errors.TooManyWrongKeys):
        headers["Connection"] = "close"  # the rest of the body may still come
    if isinstance(error, errors.PredictionTimeout) and retry_location is not None:
        headers["Location"] = retry_location
    if isinstance(error, errors.InvalidReading):
        return Problem(status, error.code, _summary(error.errors), headers, error.errors)
    return Problem(status, error.code, str(error) or INTERNAL_DETAIL, headers)


def _response(problem: Problem) -> Response:
    body = problem.body(current_request().request_id)
    return Response(body, status=problem.status, headers=problem.all_headers())


def _from_error(error: Exception) -> Response:
    request = current_request()
    return _response(problem_of(error, retry_location=request.retry_location))


def _from_http_exception(error: HTTPException) -> Response:
    if error.response is not None and error.code is None:
        return Response(error.response.get_data(), error.response.status_code)  # type: ignore[attr-defined]
    return _response(problem_of_http(error, retry_location=current_request().retry_location))


def problem_of_http(error: HTTPException, *, retry_location: str | None = None) -> Problem:
    """The problem document of Flask's own errors, and of webargs' 422 for query parameters."""
    status = error.code or 500
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() in ("allow", "www-authenticate", "location", "retry-after")
    }
    messages = getattr(error, "data", {}).get("messages")  # set by webargs
    if messages:
        return problem_of(errors.InvalidParameter(field_errors(messages)), retry_location=retry_location)
    if isinstance(error, RequestEntityTooLarge) and error.description == RequestEntityTooLarge.description:
        error.description = f"The body is larger than {request.max_content_length} bytes."
    if error.description == NotFound.description:
        error.description = f"No such endpoint: {request.path}. See /docs."
    detail = error.description or HTTPStatus(status).description
    return Problem(status, CODE_BY_STATUS.get(status, "http_error"), detail, headers)


def _summary(found: Sequence[errors.FieldError]) -> str:
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{first.pointer or 'body'}: {first.detail}{more}"
