"""The one table from error to HTTP status, and the one body: RFC 9457 `application/problem+json`."""

from __future__ import annotations

import logging
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

import orjson
from flask import Flask, request
from redis import RedisError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, Unauthorized

import errors
from models.reading import field_errors
from web.http import Response, current_request

log = logging.getLogger(__name__)

STATUS_BY_ERROR: Final[dict[type[errors.ServiceError], HTTPStatus]] = {
    errors.MalformedBody: HTTPStatus.BAD_REQUEST,
    errors.InvalidReading: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.ModelRefused: HTTPStatus.CONFLICT,
    errors.QueueFull: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.BrokerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.PredictionTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    errors.ScoringFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
}
CODE_BY_STATUS: Final = {
    400: "malformed_body",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}
# What was wrong is logged; the caller is told only that something was.
INTERNAL_DETAIL: Final = "Something went wrong here; the request id finds it in the service's log."


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    field_problems: list[errors.FieldError] | None = None,
) -> Response:
    """A problem document as a response."""
    body: dict[str, Any] = {
        "type": f"urn:evzone:ml:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": current_request().request_id,
    }
    if field_problems is not None:
        body["errors"] = [asdict(each) for each in field_problems]
    return Response(
        orjson.dumps(body), status=status, content_type="application/problem+json", headers=headers
    )


def register(app: Flask) -> None:
    """Answer every error of `app` with a problem document."""
    app.register_error_handler(errors.ServiceError, from_service_error)
    app.register_error_handler(RedisError, _from_redis_error)
    app.register_error_handler(HTTPException, _from_http_exception)
    app.register_error_handler(Exception, _from_bug)


def from_service_error(error: errors.ServiceError) -> Response:
    status = next(
        (STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    location = current_request().retry_location
    if isinstance(error, errors.PredictionTimeout) and location is not None:
        headers["Location"] = location
    if isinstance(error, errors.InvalidReading):
        return problem(
            status, error.code, _summary(error.errors), headers=headers, field_problems=error.errors
        )
    return problem(status, error.code, str(error) or INTERNAL_DETAIL, headers=headers)


def _from_redis_error(error: RedisError) -> Response:
    log.warning("Redis unavailable: %s", error)
    return from_service_error(errors.BrokerUnavailable("Redis cannot be reached."))


def _from_http_exception(error: HTTPException) -> Response:
    """Flask's own errors, and webargs' 422 for query parameters."""
    if error.response is not None and error.code is None:
        return Response(error.response.get_data(), error.response.status_code)  # type: ignore[attr-defined]
    status = error.code or 500
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() in ("allow", "www-authenticate", "location", "retry-after")
    }
    messages = getattr(error, "data", {}).get("messages") if hasattr(error, "data") else None
    if messages:
        found = field_errors(messages)
        return problem(status, "invalid_parameter", _summary(found), headers=headers, field_problems=found)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'ApiKey realm="evzone-ml"'
    if isinstance(error, RequestEntityTooLarge):
        error.description = f"The body is larger than {request.max_content_length} bytes."
    detail = error.description or HTTPStatus(status).description
    return problem(status, CODE_BY_STATUS.get(status, "http_error"), detail, headers=headers)


def _from_bug(error: Exception) -> Response:
    log.exception("unexpected error, request %s", current_request().request_id, exc_info=error)
    return problem(500, "internal", INTERNAL_DETAIL)


def _summary(found: list[errors.FieldError]) -> str:
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{first.pointer or 'body'}: {first.detail}{more}"
