"""What `MLClient` and `AsyncMLClient` hand to httpx."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import httpx

from evzone_ml_client.exchange import Request
from evzone_ml_client.settings import Settings
from evzone_ml_client.version import __version__

# 0 would mean to sockets not to wait at all, which they report as another error.
LEAST_TIMEOUT_S: Final = 0.001
# However long a call may take: a server that is mute, or not there, is found out.
LONGEST_CONNECT_S: Final = 10.0
LONGEST_SILENCE_S: Final = 120.0


class ApiKey(httpx.Auth):
    """The key goes into a request on its way out, so that no client's headers show it."""

    def __init__(self, key: str) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-API-Key"] = self._key
        yield request


def client_options(settings: Settings) -> dict[str, Any]:
    """Arguments of `httpx.Client` and `httpx.AsyncClient`."""
    headers = {"User-Agent": f"evzone-ml-client/{__version__}", "Accept": "application/json"}
    if settings.tenant is not None:
        headers["X-Tenant-ID"] = settings.tenant
    return {"base_url": settings.url, "headers": headers, "auth": ApiKey(settings.api_key)}


def request_options(request: Request, timeout_s: float) -> dict[str, Any]:
    """Arguments of `build_request`, but for the content."""
    return {
        "method": request.method,
        "url": request.path,
        "params": request.params,
        "headers": request.headers,
        "timeout": httpx.Timeout(
            _within(timeout_s, LONGEST_SILENCE_S), connect=_within(timeout_s, LONGEST_CONNECT_S)
        ),
    }


def is_stream(response: httpx.Response, media_type: str | None) -> bool:
    """Whether a body of this type has come, to be left unread."""
    given = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return response.status_code == httpx.codes.OK and given == media_type


def read_timeout(response: httpx.Response, timeout_s: float) -> None:
    """From now on no piece of the body may take longer. httpcore looks here when it begins to read one."""
    response.request.extensions["timeout"]["read"] = _within(timeout_s, LONGEST_SILENCE_S)


def _within(timeout_s: float, longest_s: float) -> float:
    return max(LEAST_TIMEOUT_S, min(timeout_s, longest_s))
