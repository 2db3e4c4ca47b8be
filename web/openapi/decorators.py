"""Decorators that document the requests and responses of a view in `/openapi.json`.

They only document. `web/http/request_bodies.py` decodes bodies, and verdicts are sent as the workers encoded
them, so the schemas cost nothing per request.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from flask_smorest import Blueprint
from marshmallow import Schema

from web.http.errors import PROBLEM_TYPE
from web.openapi.header_schemas import TenantSchema
from web.openapi.schemas import ProblemSchema

View = TypeVar("View", bound=Callable[..., Any])

# The attribute in which flask-smorest's decorators store their documentation.
_SMOREST_DOC: Final = "_apidoc"

TOO_MANY_REQUESTS: Final = 429
PROBLEMS: Final = {
    400: "The body is not JSON.",
    401: "The key is missing or wrong.",
    403: "The key lacks the role.",
    404: "Not there.",
    406: "No format of these is there; see the detail.",
    408: "The body stopped midway.",
    409: "Contradicts an earlier request.",
    413: "The body is too large.",
    415: "The content type is not supported.",
    422: "A field is wrong; `errors` names each.",
    429: "Over a limit of the key or tenant; the detail names it.",
    500: "Something went wrong in the service.",
    503: "Cannot be accepted now; see Retry-After.",
    504: "No verdict before the deadline; see Retry-After and Location.",
    507: "The disk or Redis is nearly full; see Retry-After.",
}


def takes(
    blueprint: Blueprint,
    schema: type[Schema] | Sequence[type[Schema] | dict[str, Any]] | None,
    files: Mapping[str, str] | None = None,
) -> Callable[[View], View]:
    """Document a JSON body of this schema or of one of several, if any, and other media types.

    `files` has the description of each other media type.
    """
    described = {"anyOf": copy.deepcopy(list(schema))} if isinstance(schema, Sequence) else schema
    content: dict[str, Any] = {} if schema is None else {"application/json": {"schema": described}}
    for media_type, description in (files or {}).items():
        content[media_type] = {"schema": {"type": "string", "format": "binary", "description": description}}
    return _only_described(blueprint.doc(requestBody={"required": True, "content": content}))


def takes_headers(blueprint: Blueprint, schema: type[Schema]) -> Callable[[View], View]:
    """Document the request headers that the view reads.

    Always use schemas for parameters, which flask-smorest merges: `doc(parameters=…)` would replace them.
    """
    return _only_described(blueprint.arguments(schema, location="headers"))


def takes_query(blueprint: Blueprint, schema: type[Schema]) -> Callable[[View], View]:
    """Document the query parameters that the view reads."""
    return _only_described(blueprint.arguments(schema, location="query"))


# Headers of answers to a caller that has limits (`web/http/rate_limits.py`).
LIMIT_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "RateLimit-Policy": {
        "description": "The limits of the key and tenant, if there are any "
        "(draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.",
        "schema": {"type": "string"},
        "example": '"tenant-readings";q=100;w=1',
    },
    "RateLimit": {
        "description": "What is left of each limit (`r`), and the seconds that it has to last (`t`).",
        "schema": {"type": "string"},
        "example": '"tenant-readings";r=50;t=1',
    },
}
_RETRY_AFTER: Final[dict[str, dict[str, Any]]] = {
    "Retry-After": {
        "description": "Seconds until a retry may succeed.",
        "schema": {"type": "integer", "minimum": 1},
        "required": True,
    }
}


def answers(blueprint: Blueprint, schema: type[Schema]) -> Callable[[View], View]:
    """Document a 200 with a body of this schema, and the limits. The view creates the `Response` itself."""
    return _only_described(blueprint.response(200, schema, headers=LIMIT_HEADERS))


def refuses(blueprint: Blueprint, *statuses: int) -> Callable[[View], View]:
    """Document the tenant header and these problem responses, besides 401, 403, 422, 500 and 503."""

    def decorate(view: View) -> View:
        for status in sorted({401, 403, 422, 500, 503, *statuses}):
            described = blueprint.alt_response(
                status,
                schema=ProblemSchema,
                description=PROBLEMS[status],
                content_type=PROBLEM_TYPE,
                headers=_RETRY_AFTER | LIMIT_HEADERS if status == TOO_MANY_REQUESTS else None,
            )
            view = _only_described(described)(view)
        return takes_headers(blueprint, TenantSchema)(view)

    return decorate


def _only_described(decorator: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[View], View]:
    """Keep the documentation of flask-smorest's decorator, without its wrapper around the view.

    Each wrapper looks up the current app on each request, and a view would have up to ten of them.
    """

    def decorate(view: View) -> View:
        vars(view)[_SMOREST_DOC] = vars(decorator(view))[_SMOREST_DOC]
        return view

    return decorate
