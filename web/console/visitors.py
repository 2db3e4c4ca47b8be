"""Who looks at the console: the session of a request, its key, and the tenant that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from flask import g
from werkzeug.wrappers import Response as BaseResponse

from errors import Forbidden
from tasks.storage.console_sessions import ConsoleSession
from web.http.access import ALLOWED, tenant_of
from web.http.key_ring import Key
from web.http.messages import Request
from web.http.roles import Role
from web.http.services import services

COOKIE: Final = "evzone_console"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person with a session. `tenant` None is the fleet of readings without a tenant."""

    session_id: str
    session: ConsoleSession
    key: Key
    tenant: str | None

    def may(self, role: Role) -> bool:
        """Whether the key has what this role grants."""
        return bool(self.key.roles & ALLOWED[role])


def visitor() -> Visitor:
    """The visitor of this request, on a page that needs a role."""
    return cast(Visitor, g.visitor)


def check_acts_for_all() -> None:
    """Raise `Forbidden` for a key that acts for some tenants alone: the page is about those of others too."""
    if visitor().key.tenants is not None:
        raise Forbidden("This page needs a key for all tenants.")


def identify(request: Request) -> Visitor | None:
    """The visitor with the session of a request's cookie. None without a session, or if its key has ended.

    Blocks for one command of Redis, and raises `redis.RedisError`.
    """
    session_id = request.cookies.get(COOKIE, "")
    session = services().sessions.find(session_id) if session_id else None
    key = None if session is None else services().keys.find_digest(session.digest)
    if session is None or key is None:
        return None
    return Visitor(session_id, session, key, _shown_tenant(key, session.tenant))


def _shown_tenant(key: Key, chosen: str | None) -> str | None:
    """The tenant that a session shows: the chosen one, or the first that its key acts for."""
    if key.tenants is None:
        return chosen
    return chosen if chosen in key.tenants else min(key.tenants, default=None)


def check_tenant(key: Key, tenant: str | None) -> None:
    """Raise `InvalidParameter` or `Forbidden` unless the key acts for this tenant."""
    tenant_of(key, tenant)


def set_cookie(response: BaseResponse, request: Request, session_id: str) -> None:
    """Give the browser its session id. It is sent to this site alone, and no script reads it.

    The browser keeps it until it is closed; the session in Redis ends by itself.
    """
    response.set_cookie(
        COOKIE,
        session_id,
        path="/",
        secure=is_encrypted(request),
        httponly=True,
        samesite="Lax",
    )


def is_encrypted(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy.

    Anybody can send the proxies' header. A browser that claims TLS wrongly sends its cookie less often.
    """
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "").lower().startswith("https")
