"""Watermarks of disk and memory: jobs are refused before the disk or Redis is full.

Single predictions go on above them: they need little of either.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import OutOfMemoryError

from errors import InsufficientStorage
from settings import Settings
from tasks.storage.redis_connection import CannotPersist

# A small file system, such as a container's, must not be refused as a whole.
MOST_OF_DISK: Final = 0.1
# A full disk, a full quota, and the limit of a file's size.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def check_disk(settings: Settings) -> None:
    """Raise `InsufficientStorage` if the file system of large bodies (`TMPDIR`) has little room left.

    It asks the file system, which takes some microseconds.
    """
    shortage = disk_shortage(settings)
    if shortage:
        raise InsufficientStorage(shortage)


def disk_shortage(settings: Settings) -> str | None:
    """Why large bodies are refused, a sentence; None while there is room. Raises nothing."""
    try:
        found = os.statvfs(tempfile.gettempdir())
    except OSError as error:
        return f"The folder of large bodies (TMPDIR) cannot be used: {error.strerror}."
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    needed = min(settings.min_free_disk_bytes, round(MOST_OF_DISK * size))
    if free >= needed:
        return None
    return f"The disk of large bodies (TMPDIR) has {_mb(free)} left, and keeps {_mb(needed)} free."


def redis_shortage(settings: Settings, info: Mapping[str, Any]) -> str | None:
    """Why jobs are refused, by Redis's `INFO memory`; None while there is room.

    Without `maxmemory` the memory of its machine counts. Some servers name neither, and have no limit here.
    """
    most = info.get("maxmemory") or info.get("total_system_memory") or 0
    used, share = info.get("used_memory", 0), settings.max_redis_memory_share
    if not most or used <= share * most:
        return None
    return f"Redis uses {_mb(used)} of {_mb(most)}; jobs are refused above {share:.0%}."


def full(error: Exception) -> InsufficientStorage | None:
    """The refusal for an error that means a full disk, a full Redis or no memory; None for any other."""
    if isinstance(error, OutOfMemoryError):
        return InsufficientStorage("Redis has no memory left.")
    if isinstance(error, CannotPersist):
        return InsufficientStorage("Redis cannot write its file, so it takes no data.")
    if isinstance(error, MemoryError):
        return InsufficientStorage("The request needs more memory than its process may have.")
    if isinstance(error, OSError) and error.errno in _FULL:
        return InsufficientStorage("The disk is full.")
    return None


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
