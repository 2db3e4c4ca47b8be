"""httpx options shared by `MLClient` and `AsyncMLClient`."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import httpx

from evzone_ml_client.exchange import Request
from evzone_ml_client.settings import Settings, context_of
from evzone_ml_client.trace_context import trace_headers
from evzone_ml_client.version import __version__

# A time-out of 0 makes a socket non-blocking, which fails with another error.
LEAST_TIMEOUT_S: Final = 0.001
# Upper limits for long calls, to detect a server that is silent or unreachable.
LONGEST_CONNECT_S: Final = 10.0
LONGEST_SILENCE_S: Final = 120.0


class ApiKey(httpx.Auth):
    """Add the key to a request when it is sent, so that it is not in the client's headers."""

    def __init__(self, key: str) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Set `X-API-Key`. Called by httpx."""
        request.headers["X-API-Key"] = self._key
        yield request


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the arguments of `httpx.Client` and `httpx.AsyncClient`."""
    headers = {"User-Agent": f"evzone-ml-client/{__version__}", "Accept": "application/json"}
    if settings.tenant is not None:
        headers["X-Tenant-ID"] = settings.tenant
    options = {"base_url": settings.url, "headers": headers, "auth": ApiKey(settings.api_key)}
    if settings.ssl_context is not None:
        options["verify"] = settings.ssl_context
    elif settings.ca_file is not None:
        options["verify"] = context_of(settings.ca_file)
    return options


def request_options(request: Request, timeout_s: float) -> dict[str, Any]:
    """Return the arguments of `build_request`, except the content.

    Must be called in the context of the caller: the headers continue its trace.
    """
    return {
        "method": request.method,
        "url": request.path,
        "params": request.params,
        "headers": {**trace_headers(), **request.headers},
        "timeout": httpx.Timeout(
            _within(timeout_s, LONGEST_SILENCE_S), connect=_within(timeout_s, LONGEST_CONNECT_S)
        ),
    }


def is_stream(response: httpx.Response, media_type: str | None) -> bool:
    """Whether the response is a 200 of `media_type`, whose body stays unread."""
    given = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return response.status_code == httpx.codes.OK and given == media_type


def read_timeout(response: httpx.Response, timeout_s: float) -> None:
    """Limit the wait for each further piece of the body, in seconds.

    httpcore reads this extension at the start of each read.
    """
    response.request.extensions["timeout"]["read"] = _within(timeout_s, LONGEST_SILENCE_S)


def _within(timeout_s: float, longest_s: float) -> float:
    return max(LEAST_TIMEOUT_S, min(timeout_s, longest_s))
