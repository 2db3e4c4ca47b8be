"""Who asks: request id, API key with its roles, tenant. Runs before every request."""

from __future__ import annotations

import hmac
import random
import re
from typing import Final

from flask import Flask, Response
from werkzeug.exceptions import Forbidden, Unauthorized

from errors import FieldError, InvalidParameter
from readings.reading import TENANT_ID_PATTERN
from settings import Settings
from web.http.messages import current_request

API_PREFIX: Final = "/api/v1"
REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
TENANT_ID: Final = re.compile(TENANT_ID_PATTERN)
# Endpoints that need another role than the method says (see `_role_needed`).
ADMIN_PATHS: Final = re.compile(r"/api/v1/models/.+")
# Headers of every answer, beside its request id.
FIXED: Final = {"X-Content-Type-Options": "nosniff"}
# Each key with its roles.
Keys = list[tuple[bytes, frozenset[str]]]
READERS: Final = frozenset({"read", "predict", "admin"})
PREDICTORS: Final = frozenset({"predict"})
ADMINS: Final = frozenset({"admin"})


def register(app: Flask, settings: Settings) -> None:
    keys = keys_of(settings)

    def identify() -> None:
        request = current_request()
        path, header = request.path, request.environ.get
        request.request_id = request_id(header("HTTP_X_REQUEST_ID", ""))
        protected = path.startswith(API_PREFIX + "/") or (
            settings.metrics_require_key and (path == "/metrics" or path.startswith("/health"))
        )
        if not protected:
            return
        roles = roles_of(header("HTTP_X_API_KEY"), keys)
        if not roles:
            raise Unauthorized("The header X-API-Key is missing or names no valid key.")
        needed = _role_needed(request.method, path)
        if not roles & needed:
            raise Forbidden(f"This key lacks the role {' or '.join(sorted(needed))}.")
        tenant = header("HTTP_X_TENANT_ID")
        if tenant is not None:
            if not TENANT_ID.match(tenant):
                detail = "Must be 1 to 64 characters of A-Z a-z 0-9 _ -"
                raise InvalidParameter([FieldError("/headers/X-Tenant-ID", detail, "pattern")])
            request.tenant = tenant

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


def keys_of(settings: Settings) -> Keys:
    return [(entry.key.encode(), entry.roles) for entry in settings.api_keys]


def roles_of(given: str | None, keys: Keys) -> frozenset[str]:
    """The roles of a key. Every known key is compared, in constant time each, whichever matches."""
    presented = (given or "").encode("utf-8", "surrogateescape")
    roles: frozenset[str] = frozenset()
    for key, its_roles in keys:
        if hmac.compare_digest(key, presented):
            roles = its_roles
    return roles


def _role_needed(method: str, path: str) -> frozenset[str]:
    """Whoever may ask for predictions, or administer, may also read what came of it."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return READERS
    return ADMINS if ADMIN_PATHS.fullmatch(path) else PREDICTORS
