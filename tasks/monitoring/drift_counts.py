"""Data drift: workers store hourly counts in Redis; reports sum them.

Counts include all tenants, because the models are shared and a small tenant is too small a sample. Counts
belong to one model version, so a new version starts at zero.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from redis import Redis

from errors import NotFound
from models import registry
from models.monitoring.drift_report import JUDGED, STATUSES, Baseline
from settings import Settings
from tasks.monitoring import counters
from tasks.monitoring.versions import stored_name

if TYPE_CHECKING:
    # These import the models' libraries, which the web processes do not load.
    from models.monitoring.loaded_version import LoadedVersion, Seen

__all__ = ["DEFAULT_WINDOW", "JUDGED", "STATUSES", "WINDOWS", "DriftCounter", "DriftReports"]

HOUR_S: Final = 3600
WINDOWS: Final = {"24h": 24, "7d": 168}  # in hours
DEFAULT_WINDOW: Final = "24h"
KEPT_S: Final = 8 * 86_400


class DriftCounter:
    """Counts of one model version in one worker process. Use in one thread."""

    def __init__(self, redis: Redis, version: LoadedVersion) -> None:
        self._redis = redis
        self._version = version
        self._baseline = Baseline.of(version.manifest)
        self._counts = np.zeros(self._baseline.length if self._baseline else 0, np.int64)

    @property
    def able(self) -> bool:
        """Whether the version's manifest contains its training distributions."""
        return self._baseline is not None

    def look(self, seen: Sequence[Seen]) -> None:
        """Add readings to the counts. Does nothing for a version without distributions."""
        if self._baseline is None:
            return
        frame = self._version.frame(*zip(*seen, strict=True))
        self._counts += self._baseline.count(frame, self._version.scores(frame))

    def flush(self) -> None:
        """Add the counts to Redis and reset them. Raises `redis.RedisError`; the counts are then kept."""
        pipeline = self._redis.pipeline(transaction=True)
        hour = int(time.time() // HOUR_S)
        counters.add(
            pipeline, _key(self._version.name, self._version.identity, hour), self._counts, ttl_s=KEPT_S
        )
        pipeline.execute()
        self._counts[:] = 0


class DriftReports:
    """Compare live distributions of the active versions with those of their training."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._model_dir = settings.model_dir
        self._redis = redis

    def report(self, name: str, window: str = DEFAULT_WINDOW) -> dict[str, Any]:
        """The drift report of a model over one of `WINDOWS`: full hours and the current one.

        Raises `UnknownModel`, `ModelRefused` if no version is active, `NotFound` if it has no training
        distributions, and `redis.RedisError`.
        """
        stored = stored_name(name)
        active = registry.active_version(self._model_dir, stored)
        manifest = registry.read_manifest(self._model_dir / stored / active, f"{stored} {active}")
        baseline = Baseline.of(manifest)
        if baseline is None:
            raise NotFound(f"{stored} {active} states no distributions of its training; train a new version.")
        now = int(time.time() // HOUR_S)
        identity = registry.identity(manifest)
        keys = [_key(stored, identity, now - back) for back in range(WINDOWS[window])]
        counts = counters.total(self._redis, keys, length=baseline.length)
        return {"name": name, "version": active, "window": window, **baseline.report(counts)}


def _key(name: str, identity: str, hour: int) -> str:
    return f"ml:drift:{name}:{identity}:{hour}"
