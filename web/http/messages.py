"""Flask's request and response with a lower cost per request.

Flask's proxies `request` and `g` cost a microsecond at each access. Values of a request are kept on the
request object itself, and each hook resolves the proxy once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import flask

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from opentelemetry.trace import Span

    from errors import LimitState
    from web.http.key_ring import Caller


class Request(flask.Request):
    """A request. `web/http/access.py` sets `request_id`, `address`, `caller`, `tenant` and `span`.

    `address` is the client's (`web/http/addresses.py`). `limits` are the states of the caller's limits, for
    the headers of the answer. `retry_location` is the `Location` header of a 504. `started` is the
    `time.perf_counter()` at arrival. `is_audited`: the audit log has
    this call, although its role is not `admin`.
    """

    request_id: str = ""
    address: str = ""
    tenant: str | None = None
    caller: Caller | None = None
    span: Span | None = None
    retry_location: str | None = None
    limits: Sequence[LimitState] = ()
    is_audited: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.started = time.perf_counter()
        super().__init__(*args, **kwargs)


class Response(flask.Response):
    """A response that passes a complete body to the server as a list.

    Werkzeug passes an iterator. Granian opens a stream for it, at the cost of two more thread switches.
    """

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        """The body for the WSGI server: a list if the body is complete, otherwise werkzeug's iterator."""
        if self.is_sequence and not self.direct_passthrough and not self._on_close:
            bodiless = environ["REQUEST_METHOD"] == "HEAD" or self.status_code in (204, 304)
            return [] if bodiless else list(self.iter_encoded())
        return super().get_app_iter(environ)


def no_content(headers: Mapping[str, str] | None = None) -> Response:
    """A 204 response. It has no body, and therefore no content type."""
    response = Response(status=204, headers=headers)
    del response.headers["Content-Type"]
    return response


def current_request() -> Request:
    """The request that this thread handles."""
    request: Request = flask.request._get_current_object()  # type: ignore[attr-defined]  # the stub hides the proxy
    return request
