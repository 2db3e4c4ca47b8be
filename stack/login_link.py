"""The address of the console, for a person at a terminal: with a link that logs in once."""

from __future__ import annotations

import sys

from redis import RedisError

from settings import Settings
from tasks.storage.api_keys import digest_of
from tasks.storage.console_sessions import LINK_S, ConsoleSessions
from tasks.storage.redis_connection import connect


def console_line(settings: Settings, url: str, key: str) -> str:
    """The address below `url` that logs in with a key, and a note. Blocks for one command of Redis.

    A log, which others may read, has no link.
    """
    plain = f"{url}/        (log in with a key)"
    if not sys.stdout.isatty():
        return plain
    try:
        with connect(settings.redis_url) as redis:
            secret = ConsoleSessions(redis).make_link(digest_of(key))
    except RedisError:
        return plain
    return f"{url}/login?link={secret}        (logs in once, within {LINK_S // 60} minutes; later: {url}/)"
