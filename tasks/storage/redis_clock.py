"""The time of the Redis server, which processes on all hosts share.

Deadlines in messages and arrival times of readings are in this time. So a host whose clock is wrong neither
expires the tasks of others, nor keeps its own too long, nor refuses readings as too far ahead. Between two
looks it goes on with the monotonic clock, so that a step of this host's clock changes nothing. Before the
first look it is this host's own time.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Final

from redis import Redis, RedisError

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0

# The server's time when the monotonic clock was 0. One float: assigning it needs no lock.
_origin = time.time() - time.monotonic()


def now() -> float:
    """The server's time in epoch seconds. Does not block."""
    return time.monotonic() + _origin


def moment() -> datetime:
    """`now` as an aware UTC time."""
    return datetime.fromtimestamp(now(), UTC)


def offset_s() -> float:
    """How far this host's clock is ahead of the server's, in seconds; negative if it is behind."""
    return time.time() - now()


def note(server_time: float, asked_at: float) -> None:
    """Follow the server's time, as the answer to a question of `asked_at` (`time.monotonic()` seconds)."""
    global _origin
    _origin = server_time - (asked_at + time.monotonic()) / 2


def follow(redis: Redis) -> None:
    """Ask the server now, and every second in a thread until the process ends.

    For a process without heartbeats. Blocks for one Redis command. Errors are logged.
    """
    _look(redis)
    threading.Thread(target=_follow, args=(redis,), name="redis-clock", daemon=True).start()


def _follow(redis: Redis) -> None:
    while True:
        time.sleep(LOOK_EVERY_S)
        _look(redis)


def _look(redis: Redis) -> None:
    asked_at = time.monotonic()
    try:
        seconds, micros = redis.time()
        note(seconds + micros / 1e6, asked_at)
    except RedisError as error:
        log.debug("the time of Redis is not known: %s", error)
