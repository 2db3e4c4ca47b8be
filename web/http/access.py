"""Request ids, API keys, tenants, request metrics and the access log, for Flask and `web/fast_path.py`."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from flask import Flask, Response
from prometheus_client import Counter, Histogram
from structlog.contextvars import bind_contextvars

import metrics
import tracing
from errors import FieldError, Forbidden, InvalidParameter, LimitState, TooManyWrongKeys, Unauthorized
from process import ACCESS_LOGGER
from readings.reading import TENANT_ID_PATTERN
from settings import Settings
from tasks.client.rate_limiter import RateLimiter, key_rate, tenant_rate
from tasks.storage.audit_log import AuditEntry, AuditLog
from web.http.addresses import HELD, ClientAddresses, OpenRequests
from web.http.key_ring import Caller, Key, KeyRing
from web.http.messages import Request, current_request
from web.http.rate_limits import limit_headers
from web.http.roles import Role, roles_of
from web.http.wrong_keys import WrongKeys

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = logging.getLogger(ACCESS_LOGGER)

API_PREFIX: Final = "/api/v1"
REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
TENANT_ID: Final = re.compile(TENANT_ID_PATTERN)
# Headers of every response, besides its request id.
FIXED: Final = {"X-Content-Type-Options": "nosniff"}
# They are answered without waiting.
PROBES: Final = frozenset({"/health", "/health/ready"})
SERVER_ERROR: Final = 500
# The roles of which a key must have one, by the role that a view needs.
ALLOWED: Final[dict[Role, frozenset[str]]] = {
    "read": frozenset({"read", "predict", "admin"}),
    "predict": frozenset({"predict"}),
    "admin": frozenset({"admin"}),
}


class Access:
    """Who may do what. One instance per application; thread-safe."""

    def __init__(self, settings: Settings, keys: KeyRing, limiter: RateLimiter) -> None:
        self._keys = keys
        self._limiter = limiter
        self._tenant_rate = settings.tenant_limits.readings_per_second
        self._protects_metrics = settings.metrics_require_key
        self.addresses = ClientAddresses(settings.trusted_proxies)
        most = settings.web_max_requests_by_address
        # None: no limit.
        self.open_requests = OpenRequests(most) if most else None
        self.wrong_keys = WrongKeys()

    def is_protected(self, path: str) -> bool:
        """Whether this path needs a key."""
        return path.startswith(API_PREFIX + "/") or (
            self._protects_metrics and (path == "/metrics" or path.startswith("/health"))
        )

    @property
    def counts_addresses(self) -> bool:
        """Whether a request may be refused for its address."""
        return self.open_requests is not None or self.wrong_keys.addresses > 0

    def is_wrong(self, presented: str | None) -> bool:
        """Whether this is the text of a key, and of none that counts. A missing key is not wrong."""
        return bool(presented) and self._keys.find(str(presented)) is None

    def caller(self, needed: Role, header: Callable[[str], str | None]) -> Caller:
        """Check the API key of a request that needs a role. Return it, and the tenant that it acts for.

        `header` looks up a header by its name, case-insensitively. A key for one tenant acts for it without
        the header, and a key for all tenants acts for none.

        Raises `Unauthorized` for a missing, unknown or expired key. Raises `Forbidden` for a missing role or
        another tenant, and `InvalidParameter` for an invalid tenant id, or none from a key of several.
        """
        key = self.key(header)
        allowed = ALLOWED[needed]
        if not key.roles & allowed:
            raise Forbidden(f"This key lacks the role {' or '.join(sorted(allowed))}.")
        return Caller(key, tenant_of(key, header("X-Tenant-ID")))

    def key(self, header: Callable[[str], str | None]) -> Key:
        """Return the valid key of a request, whatever its roles. Raises `Unauthorized` without one."""
        presented = header("X-API-Key")
        key = self._keys.find(presented) if presented else None
        if key is not None:
            return key
        if presented:
            raise Unauthorized("The header X-API-Key names no valid key.")
        read_elsewhere = " The header Authorization is not read." if header("Authorization") else ""
        raise Unauthorized(f"The header X-API-Key is missing.{read_elsewhere}")

    def take_reading(self, caller: Caller) -> Sequence[LimitState]:
        """Count one single prediction of a caller. Returns the states of its limits. Does not block.

        A prediction counts whatever its answer is: cached, refused or failed. Call it once for each request.

        Raises `RateLimited` if the key or the tenant is over its limit.
        """
        own_rate = caller.key.limits.readings_per_second
        if not (own_rate or self._tenant_rate):
            return ()
        rates = [key_rate(caller.key.key_id, own_rate)] if own_rate else []
        if self._tenant_rate:
            rates.append(tenant_rate(caller.tenant, self._tenant_rate))
        return self._limiter.take(rates)


def tenant_of(key: Key, given: str | None) -> str | None:
    """The tenant that a key acts for, if the caller names this one or none.

    Raises `Forbidden` for another tenant, and `InvalidParameter` for an invalid id, or none with a key of
    several.
    """
    if given is not None and not TENANT_ID.match(given):
        detail = "Must be 1 to 64 characters of A-Z a-z 0-9 _ -"
        raise InvalidParameter([FieldError("/headers/X-Tenant-ID", detail, "pattern")])
    if key.tenants is None:
        return given
    if given is None:
        if len(key.tenants) == 1:
            (only,) = key.tenants
            return only
        detail = "This key acts for several tenants: name one of them."
        raise InvalidParameter([FieldError("/headers/X-Tenant-ID", detail, "required")])
    if given not in key.tenants:
        raise Forbidden("This key does not act for this tenant.")
    return given


def register(app: Flask, access: Access, audit: AuditLog) -> None:
    """Register the access check before each request of `app`, and fixed headers and audit log after it.

    Call it when all views are registered. Raises `RoleMissing` for one that declares no role.
    """
    roles = roles_of(app)

    def identify() -> None:
        request = current_request()
        header = request.headers.get
        request.request_id = request_id(header("X-Request-ID", ""))
        request.span = tracing.begin_request(request.method, _route_of(request), header(tracing.TRACEPARENT))
        # Server threads are reused and still hold the previous request's values.
        bind_contextvars(
            request_id=request.request_id, trace_id=tracing.trace_id_of(request.span), tenant=None
        )
        request.address = access.addresses.of(request.remote_addr or "", header("X-Forwarded-For"))
        held: ExitStack | None = request.environ.get(HELD)
        if held and access.open_requests and not is_probe(request.method, request.path):
            held.enter_context(access.open_requests.one(request.address))
        if access.is_protected(request.path):
            # What has no view is a 404 or 405, for any key.
            needed = roles.get((request.endpoint or "", request.method), "read")
            try:
                request.caller = access.caller(needed, header)
            except Unauthorized:
                if header("X-API-Key"):
                    access.wrong_keys.count(request.address)
                raise
            request.tenant = request.caller.tenant
        elif access.is_wrong(header("X-API-Key")):
            with suppress(TooManyWrongKeys):  # a probe must not fail
                access.wrong_keys.count(request.address)
        bind_contextvars(tenant=request.tenant)

    def stamp(response: Response) -> Response:
        request = current_request()
        for name, value in stamps(request.request_id).items():
            response.headers.add(name, value)
        if request.limits:  # a refusal has them already, as they were then
            for name, value in limit_headers(request.limits).items():
                response.headers.setdefault(name, value)
        return response

    def note(response: Response) -> Response:
        request = current_request()
        changes = request.method not in ("GET", "HEAD", "OPTIONS")
        by_admin = changes and roles.get((request.endpoint or "", request.method)) == "admin"
        if request.caller and (by_admin or request.is_audited):
            audit.add(
                AuditEntry(
                    f"{request.method} {request.path}",
                    request.caller.key.key_id,
                    request.caller.key.name,
                    request.address,
                    request.tenant,
                    response.status_code,
                    request.request_id,
                )
            )
        return response

    app.before_request(identify)
    app.after_request(stamp)
    app.after_request(note)


def is_probe(method: str, path: str) -> bool:
    """Whether a request is a health check. One must not fail because of other requests of its address."""
    return path in PROBES and method in ("GET", "HEAD")


def _route_of(request: Request) -> str:
    """The path of the matched route, with the names of its variables."""
    return "unknown" if request.url_rule is None else request.url_rule.rule


def request_id(given: str) -> str:
    """The caller's request id if it is valid, otherwise a new one of 32 hexadecimal digits."""
    # Not os.urandom: its system call releases the interpreter lock, and the thread would queue for it again.
    return given if REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def stamps(its_id: str) -> dict[str, str]:
    """The headers of every response."""
    return {"X-Request-ID": its_id, **FIXED}


def count(
    endpoint: str,
    method: str,
    status: int,
    started: float,
    *,
    path: str,
    address: str,
    request_id: str,
    tenant: str | None,
    span: Span | None,
) -> None:
    """Count one response, end its span, and log it if `ACCESS_LOG` is on.

    `address` is the client's, for the log; `path` has no query string. `started` is the
    `time.perf_counter()` of the request's arrival in seconds.
    """
    answers, seconds = _meters(endpoint, method, status)
    answers.inc()
    took_s = time.perf_counter() - started
    seconds.observe(took_s)
    if span is not None:
        seen: tracing.Attributes = {"http.response.status_code": int(status), "evzone.request_id": request_id}
        if tenant is not None:
            seen["evzone.tenant"] = tenant
        tracing.end(span, seen, error=str(int(status)) if status >= SERVER_ERROR else None)
    if log.isEnabledFor(logging.INFO):
        fields = {
            "method": method,
            "path": path,
            "address": address,
            "status": int(status),  # problems have an HTTPStatus
            "duration_ms": round(took_s * 1000, 1),
            "request_id": request_id,
            "trace_id": tracing.trace_id_of(span),
            "tenant": tenant,
        }
        log.info("answered", extra=fields)


@lru_cache(maxsize=1024)
def _meters(endpoint: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """The counter and histogram with these labels. Cached: the lookup costs as much as the increment."""
    # Clients can send any method; label values must be bounded.
    known = method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"
    answers = metrics.HTTP_REQUESTS.labels(endpoint=endpoint, method=known, status=status)
    return answers, metrics.HTTP_SECONDS.labels(endpoint=endpoint)
