"""Jobs are refused before the disk or Redis is full, and a first user meets none of it."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from errors import InsufficientStorage
from tasks.monitoring import watermarks
from tasks.storage.redis_connection import CannotPersist
from tests.processes import settings_for

GB = 1_000_000_000
# The fields of `statvfs` by their place: block size, fragment size, blocks, free, available.
BLOCK = 4_096


def disk(monkeypatch: pytest.MonkeyPatch, *, size: int, free: int) -> None:
    found = os.statvfs_result((BLOCK, BLOCK, size // BLOCK, 0, free // BLOCK, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: found)


@pytest.mark.parametrize(
    ("size", "free", "refused"),
    [
        (100 * GB, GB, False),
        (100 * GB, 400_000_000, True),
        (GB, 200_000_000, False),  # a small disk: a tenth of it is enough
        (GB, 90_000_000, True),
    ],
)
def test_a_disk_with_little_room_is_named(
    monkeypatch: pytest.MonkeyPatch, size: int, free: int, refused: bool
) -> None:
    disk(monkeypatch, size=size, free=free)
    assert bool(watermarks.disk_shortage(settings_for())) is refused
    assert watermarks.disk_shortage(settings_for(ML_MIN_FREE_DISK_BYTES="0")) is None
    if refused:
        with pytest.raises(InsufficientStorage, match="TMPDIR"):
            watermarks.check_disk(settings_for())


def test_a_folder_that_is_gone_is_a_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/nowhere/at/all")
    assert "cannot be used" in (watermarks.disk_shortage(settings_for()) or "")


@pytest.mark.parametrize(
    ("info", "refused"),
    [
        ({"used_memory": 89, "maxmemory": 100, "total_system_memory": 50}, False),
        ({"used_memory": 91, "maxmemory": 100}, True),
        ({"used_memory": 91, "maxmemory": 0, "total_system_memory": 100}, True),
        ({"used_memory": 91}, False),
        ({}, False),
    ],
)
def test_a_redis_with_little_room_is_named(info: dict[str, Any], refused: bool) -> None:
    assert bool(watermarks.redis_shortage(settings_for(), info)) is refused
    assert watermarks.redis_shortage(settings_for(ML_MAX_REDIS_MEMORY_SHARE="1"), info) is None


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("command not allowed"),
        CannotPersist("MISCONF Errors writing to the AOF file: No space left on device"),
        MemoryError(),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_what_means_no_room_is_insufficient_storage(error: Exception) -> None:
    found = watermarks.full(error)
    assert isinstance(found, InsufficientStorage)
    assert found.retryable
    assert found.retry_after_s


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), ValueError(), OSError("what")])
def test_any_other_error_is_not(error: Exception) -> None:
    assert watermarks.full(error) is None
