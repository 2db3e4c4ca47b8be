"""Log-ins to the console, and links for one log-in, in Redis. Both are stored by their SHA-256 alone.

A session refers to its key by the key's SHA-256. So it ends with the key, and reveals neither.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, cast

import orjson
from redis import Redis

# A session ends after so long without a request; an open live page sends some.
SESSION_S: Final = 12 * 3_600
LINK_S: Final = 600
SECRET_BYTES: Final = 32
# Longer cookies and links are no secrets of ours, and are not hashed.
MOST_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A log-in. `digest` is that of its key, `csrf_token` is in each form, and `tenant` is shown."""

    digest: str
    csrf_token: str
    tenant: str | None = None


class ConsoleSessions:
    """The sessions of one Redis server. Methods block for one command, and raise `redis.RedisError`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def open(self, digest: str) -> str:
        """Begin a session for the key with this digest. Returns the session's secret id."""
        session_id = secrets.token_urlsafe(SECRET_BYTES)
        self._write(session_id, ConsoleSession(digest, secrets.token_urlsafe(SECRET_BYTES)))
        return session_id

    def find(self, session_id: str) -> ConsoleSession | None:
        """The session with this id, or None if it has ended. It lasts `SESSION_S` from now on."""
        if len(session_id) > MOST_CHARS:
            return None
        raw = cast("bytes | None", self._redis.getex(_session_key(session_id), ex=SESSION_S))
        return None if raw is None else _session_of(raw)

    def show_tenant(self, session_id: str, session: ConsoleSession, tenant: str | None) -> None:
        """Show another tenant in this session, unless it has ended meanwhile."""
        self._write(session_id, replace(session, tenant=tenant), only_existing=True)

    def close(self, session_id: str) -> None:
        """End a session."""
        self._redis.delete(_session_key(session_id))

    def make_link(self, digest: str) -> str:
        """Make the secret of a link that logs in once, with the key of this digest, within `LINK_S`."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        self._redis.set(_link_key(secret), digest, ex=LINK_S)
        return secret

    def use_link(self, secret: str) -> str | None:
        """The digest of the key that a link logs in with, once; afterwards None."""
        if len(secret) > MOST_CHARS:
            return None
        digest = cast("bytes | None", self._redis.getdel(_link_key(secret)))
        return None if digest is None else digest.decode()

    def _write(self, session_id: str, session: ConsoleSession, *, only_existing: bool = False) -> None:
        body = cast(Any, orjson.dumps(asdict(session)))
        self._redis.set(_session_key(session_id), body, ex=SESSION_S, xx=only_existing)


def _session_of(raw: bytes) -> ConsoleSession | None:
    """The session of a record. None for one that cannot be read, as of another release."""
    try:
        found = orjson.loads(raw)
        return ConsoleSession(str(found["digest"]), str(found["csrf_token"]), found["tenant"])
    except (ValueError, KeyError, TypeError):
        return None


def _session_key(session_id: str) -> str:
    return f"ml:console:session:{_hashed(session_id)}"


def _link_key(secret: str) -> str:
    return f"ml:console:link:{_hashed(secret)}"


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
