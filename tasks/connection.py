"""Redis clients with deadlines.

redis-py 8 waits up to 5 s and retries ten times by default: 58 s for one GET on a server that is mute. A
caller who gives up after 5 s is better served by an error after a fraction of one.
"""

from __future__ import annotations

from typing import Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT_S: Final = 0.5
COMMAND_TIMEOUT_S: Final = 1.0
CACHE_TIMEOUT_S: Final = 0.3


def connect(url: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> Redis:
    """A client (it connects lazily) whose every command ends within about `timeout_s`, without retries.

    Raises nothing itself; commands raise `redis.RedisError`. A blocking command must block for less than
    `timeout_s`.
    """
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(CONNECT_TIMEOUT_S, timeout_s),
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
