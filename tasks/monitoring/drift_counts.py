"""Has the traffic moved away from training? Workers count it by the hour in Redis, whoever asks adds up.

Counts are those of all tenants together: the models are the same for all, and a tenant of a few chargers is
no population. They belong to one version, so that a new one begins anew.
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
    # With these come the models' libraries, which the web does without.
    from models.monitoring.loaded_version import LoadedVersion, Seen

__all__ = ["DEFAULT_WINDOW", "JUDGED", "STATUSES", "WINDOWS", "DriftCounter", "DriftReports"]

HOUR_S: Final = 3600
WINDOWS: Final = {"24h": 24, "7d": 168}  # in hours
DEFAULT_WINDOW: Final = "24h"
KEPT_S: Final = 8 * 86_400


class DriftCounter:
    """Counts of one version in one worker process, for one thread."""

    def __init__(self, redis: Redis, version: LoadedVersion) -> None:
        self._redis = redis
        self._version = version
        self._baseline = Baseline.of(version.manifest)
        self._counts = np.zeros(self._baseline.length if self._baseline else 0, np.int64)

    @property
    def able(self) -> bool:
        """Whether the version states what it was trained on."""
        return self._baseline is not None

    def look(self, seen: Sequence[Seen]) -> None:
        if self._baseline is None:
            return
        frame = self._version.frame(*zip(*seen, strict=True))
        self._counts += self._baseline.count(frame, self._version.scores(frame))

    def flush(self) -> None:
        """Add what was counted to Redis. Raises `redis.RedisError`: then it stays for the next time."""
        pipeline = self._redis.pipeline(transaction=True)
        hour = int(time.time() // HOUR_S)
        counters.add(
            pipeline, _key(self._version.name, self._version.identity, hour), self._counts, ttl_s=KEPT_S
        )
        pipeline.execute()
        self._counts[:] = 0


class DriftReports:
    """Live distributions of the active versions beside those of their training."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._model_dir = settings.model_dir
        self._redis = redis

    def report(self, name: str, window: str = DEFAULT_WINDOW) -> dict[str, Any]:
        """Of the last hours of `WINDOWS`, whole hours and the one that runs.

        Raises `UnknownModel`, `ModelRefused` where no version is active, `NotFound` where it states no
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
