"""Around every request: its id, API key and tenant before; its count and access log line after.

The same for Flask's answers and for those of `web/fast_path.py`.
"""

from __future__ import annotations

import hmac
import logging
import random
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from flask import Flask, Response
from prometheus_client import Counter, Histogram
from structlog.contextvars import bind_contextvars

import metrics
from errors import FieldError, Forbidden, InvalidParameter, Unauthorized
from process import ACCESS_LOGGER
from readings.reading import TENANT_ID_PATTERN
from settings import Settings
from web.http.messages import current_request

log = logging.getLogger(ACCESS_LOGGER)

API_PREFIX: Final = "/api/v1"
REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
TENANT_ID: Final = re.compile(TENANT_ID_PATTERN)
# Endpoints that need another role than the method says (see `_role_needed`).
ADMIN_PREFIX: Final = "/api/v1/models/"
# Headers of every answer, beside its request id.
FIXED: Final = {"X-Content-Type-Options": "nosniff"}
READERS: Final = frozenset({"read", "predict", "admin"})
PREDICTORS: Final = frozenset({"predict"})
ADMINS: Final = frozenset({"admin"})


class Access:
    """Keys with their roles. One instance for an application; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._keys = [(entry.key.encode(), entry.roles) for entry in settings.api_keys]
        self._protects_metrics = settings.metrics_require_key

    def tenant_of(self, method: str, path: str, header: Callable[[str], str | None]) -> str | None:
        """The tenant of a request that its key allows. `header` finds a header by its name, in any case.

        Raises `Unauthorized`, `Forbidden`, and `InvalidParameter` for a tenant that is none.
        """
        if not self._is_protected(path):
            return None
        roles = self._roles_of(header("X-API-Key"))
        if not roles:
            raise Unauthorized("The header X-API-Key is missing or names no valid key.")
        needed = _role_needed(method, path)
        if not roles & needed:
            raise Forbidden(f"This key lacks the role {' or '.join(sorted(needed))}.")
        tenant = header("X-Tenant-ID")
        if tenant is not None and not TENANT_ID.match(tenant):
            detail = "Must be 1 to 64 characters of A-Z a-z 0-9 _ -"
            raise InvalidParameter([FieldError("/headers/X-Tenant-ID", detail, "pattern")])
        return tenant

    def _is_protected(self, path: str) -> bool:
        return path.startswith(API_PREFIX + "/") or (
            self._protects_metrics and (path == "/metrics" or path.startswith("/health"))
        )

    def _roles_of(self, given: str | None) -> frozenset[str]:
        """The roles of a key. Every known key is compared, in constant time each, whichever matches."""
        presented = (given or "").encode("utf-8", "surrogateescape")
        roles: frozenset[str] = frozenset()
        for key, its_roles in self._keys:
            if hmac.compare_digest(key, presented):
                roles = its_roles
        return roles


def register(app: Flask, access: Access) -> None:
    """Let no request of `app` pass that its key does not allow, and stamp every answer."""

    def identify() -> None:
        request = current_request()
        header = request.headers.get
        request.request_id = request_id(header("X-Request-ID", ""))
        # A server's thread still has the last request's values.
        bind_contextvars(request_id=request.request_id, tenant=None)
        request.tenant = access.tenant_of(request.method, request.path, header)
        bind_contextvars(tenant=request.tenant)

    def stamp(response: Response) -> Response:
        for name, value in stamps(current_request().request_id).items():
            response.headers.add(name, value)
        return response

    app.before_request(identify)
    app.after_request(stamp)


def request_id(given: str) -> str:
    """The caller's, if it can be one, otherwise a new one."""
    # Not by os.urandom: at that system call the thread would have to queue for the interpreter once more.
    return given if REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def stamps(its_id: str) -> dict[str, str]:
    """The headers of every answer."""
    return {"X-Request-ID": its_id, **FIXED}


def count(
    endpoint: str,
    method: str,
    status: int,
    started: float,
    *,
    path: str,
    request_id: str,
    tenant: str | None,
) -> None:
    """Count one answer, and log it where `ACCESS_LOG` is on.

    `started` is `time.perf_counter()` at the request's arrival, `path` has no query.
    """
    answers, seconds = _meters(endpoint, method, status)
    answers.inc()
    took_s = time.perf_counter() - started
    seconds.observe(took_s)
    if log.isEnabledFor(logging.INFO):
        fields = {
            "method": method,
            "path": path,
            "status": int(status),  # problems have an HTTPStatus
            "duration_ms": round(took_s * 1000, 1),
            "request_id": request_id,
            "tenant": tenant,
        }
        log.info("answered", extra=fields)


@lru_cache(maxsize=1024)
def _meters(endpoint: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Counter and histogram with these labels: finding them costs as much as counting."""
    # Labels are bounded, methods that callers make up are not.
    known = method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"
    answers = metrics.HTTP_REQUESTS.labels(endpoint=endpoint, method=known, status=status)
    return answers, metrics.HTTP_SECONDS.labels(endpoint=endpoint)


def _role_needed(method: str, path: str) -> frozenset[str]:
    """Whoever may ask for predictions, or administer, may also read what came of it."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return READERS
    return ADMINS if path.startswith(ADMIN_PREFIX) and path != ADMIN_PREFIX else PREDICTORS
