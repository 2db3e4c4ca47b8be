"""Request and response as this service uses them: Flask's, with what each request costs cut down.

Flask finds `request` and `g` through proxies that cost a microsecond at each look. What is known of a request
is kept on the request itself, and hooks look for it once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import flask

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Request(flask.Request):
    """`request_id` and `tenant` are filled in by `web/http/access.py`; `retry_location` goes with a 504."""

    request_id: str = ""
    tenant: str | None = None
    retry_location: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.started = time.perf_counter()
        super().__init__(*args, **kwargs)


class Response(flask.Response):
    """A body that is already there goes to the server as the list it is.

    Werkzeug hands over an iterator, for which Granian opens a stream: two more threads take turns for it.
    """

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        if self.is_sequence and not self.direct_passthrough and not self._on_close:
            bodiless = environ["REQUEST_METHOD"] == "HEAD" or self.status_code in (204, 304)
            return [] if bodiless else list(self.iter_encoded())
        return super().get_app_iter(environ)


def no_content(headers: Mapping[str, str] | None = None) -> Response:
    """204, which has no body and hence no type of one."""
    response = Response(status=204, headers=headers)
    del response.headers["Content-Type"]
    return response


def current_request() -> Request:
    """The request that this thread handles."""
    request: Request = flask.request._get_current_object()  # type: ignore[attr-defined]  # a proxy, by its stub none
    return request
