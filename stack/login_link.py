"""The address of the console, for a person at a terminal: with a link that logs in once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from redis import Redis, RedisError

from settings import Settings
from tasks.storage.api_keys import KeyStore, digest_of
from tasks.storage.console_sessions import LINK_S, ConsoleSessions
from tasks.storage.redis_connection import connect

# The key of a demo's links ends by itself, if the demo is not removed before.
DEMO_KEY_S: Final = 7 * 86_400


def console_line(settings: Settings, url: str, key: str) -> str:
    """The address below `url` that logs in with a key, and a note. Blocks for one command of Redis.

    A log, which others may read, has no link.
    """
    return _line_for(settings, url, lambda _: key)


def tenant_line(settings: Settings, url: str, tenant: str) -> str:
    """The same with a new key that reads one tenant alone. It is revoked when the tenant is erased."""

    def make_key(redis: Redis) -> str:
        expires_at = time.time() + DEMO_KEY_S
        return KeyStore(redis).create(f"console of {tenant}", ("read",), (tenant,), expires_at=expires_at)

    return _line_for(settings, url, make_key)


def _line_for(settings: Settings, url: str, key_of: Callable[[Redis], str]) -> str:
    plain = f"{url}/        (log in with a key)"
    if not sys.stdout.isatty():
        return plain
    try:
        with connect(settings.redis_url) as redis:
            secret = ConsoleSessions(redis).make_link(digest_of(key_of(redis)))
    except RedisError:
        return plain
    return f"{url}/login?link={secret}        (logs in once, within {LINK_S // 60} minutes; later: {url}/)"
