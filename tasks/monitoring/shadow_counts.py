"""A second version scores the same traffic without answering; sums of both sides in Redis, for each pair.

A comparison belongs to two versions and an alert threshold, and lives 30 days after its last reading: the
same pair set again goes on with it. It speaks of all tenants together.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from redis import Redis

import metrics
from errors import NotFound, ServiceError
from models import registry
from models.anomaly import THRESHOLD as ANOMALY_THRESHOLD
from models.features.columns import Floats
from models.monitoring import shadow_report
from readings.reading import epoch_rfc3339
from settings import Settings
from tasks.monitoring import counters, heartbeats
from tasks.monitoring.versions import stored_name

if TYPE_CHECKING:
    # With these come the models' libraries, which the web does without.
    from models.monitoring.loaded_version import LoadedVersion, Seen

log = logging.getLogger(__name__)

KEPT_S: Final = 30 * 86_400


class ShadowComparison:
    """One pair of versions in one worker process, for one thread."""

    def __init__(
        self, settings: Settings, redis: Redis, active: LoadedVersion, shadow: LoadedVersion
    ) -> None:
        self._redis = redis
        self._active = active
        self._shadow = shadow
        self._threshold = threshold(settings, active.name)
        self._key = _key(active.name, active.identity, shadow.identity, self._threshold)
        self._counts = np.zeros(shadow_report.LENGTH, np.int64)
        self._largest = 0.0

    def look(self, seen: Sequence[Seen]) -> None:
        """Compare both versions' scores; what the shadow cannot score counts as failed."""
        readings, history = zip(*seen, strict=True)
        active = self._active.scores(self._active.frame(readings, history))
        try:
            shadow = self._shadow.scores(self._shadow.frame(readings, history))
        except Exception:
            if len(seen) > 1:
                for each in seen:
                    self.look([each])
                return
            log.exception("shadow version %s cannot score a reading", self._shadow.version)
            self._count("failed", 1)
            return
        self._add(active, shadow)

    def dropped(self, number: int) -> None:
        """Readings that there was no time to compare."""
        if number:
            self._count("dropped", number)

    def flush(self) -> None:
        """Add the sums to Redis. Raises `redis.RedisError`: then they stay for the next time."""
        if not self._counts.any():
            return
        pipeline = self._redis.pipeline(transaction=True)
        counters.add(pipeline, self._key, self._counts, ttl_s=KEPT_S)
        now, extremes = time.time(), _extremes(self._key)
        pipeline.zadd(extremes, {"since": now}, lt=True)
        pipeline.zadd(extremes, {"until": now, "largest": self._largest}, gt=True)
        pipeline.expire(extremes, KEPT_S)
        pipeline.execute()
        self._counts[:] = 0

    def _add(self, active: Floats, shadow: Floats) -> None:
        self._counts += shadow_report.count(active, shadow, threshold=self._threshold)
        self._largest = max(self._largest, float(np.abs(shadow - active).max()))
        metrics.SHADOW_READINGS.labels(model=self._active.name, result="compared").inc(len(active))

    def _count(self, field: str, number: int) -> None:
        self._counts[shadow_report.FIELDS.index(field)] += number
        metrics.SHADOW_READINGS.labels(model=self._active.name, result=field).inc(number)


class ShadowReports:
    """What the comparison of a model's active version with its shadow has shown."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._settings = settings
        self._redis = redis

    def report(self, name: str) -> dict[str, Any]:
        """Both versions side by side, and what each worker says of the shadow.

        Raises `UnknownModel`, `NotFound` where no shadow is set, `ModelRefused` where no version is active
        or SHADOW names none, and `redis.RedisError`.
        """
        stored, model_dir = stored_name(name), self._settings.model_dir
        active, shadow = (
            registry.active_version(model_dir, stored),
            registry.shadow_version(model_dir, stored),
        )
        if shadow is None:
            raise NotFound(f"No version of {stored} scores beside the active one.")
        limit = threshold(self._settings, stored)
        holders = [
            {"worker": f"{worker.name}:{worker.pid}", **held}
            for worker in heartbeats.living(self._redis)
            for model in worker.models
            if model["name"] == stored and (held := model.get("shadow")) is not None
        ]
        problem: str | None = None
        counts = np.zeros(shadow_report.LENGTH, np.int64)
        extremes: dict[bytes, float] = {}
        try:
            pair = (self._identity(stored, active), self._identity(stored, shadow))
        except (ServiceError, OSError) as error:
            problem = str(error)
        else:
            key = _key(stored, *pair, limit)
            counts = counters.total(self._redis, [key], length=shadow_report.LENGTH)
            extremes = dict(
                cast(list[tuple[bytes, float]], self._redis.zrange(_extremes(key), 0, -1, withscores=True))
            )
        return {
            "name": name,
            "active": active,
            "shadow": shadow,
            "problem": problem or next((held["problem"] for held in holders if held["problem"]), None),
            "workers": holders,
            "since": epoch_rfc3339(extremes.get(b"since")),
            "until": epoch_rfc3339(extremes.get(b"until")),
            "threshold": limit,
            "largest_difference": round(extremes.get(b"largest", 0.0), 6) if counts[0] else None,
            **shadow_report.report(counts),
        }

    def _identity(self, name: str, version: str) -> str:
        folder = self._settings.model_dir / name / version
        return registry.identity(registry.read_manifest(folder, f"{name} {version}"))


def threshold(settings: Settings, name: str) -> float:
    """From which score on a reading is an alert, or an anomaly."""
    return ANOMALY_THRESHOLD / 100 if name == "anomaly" else settings.alert_threshold


def _key(name: str, active: str, shadow: str, limit: float) -> str:
    return f"ml:shadow:{name}:{active}:{shadow}:{limit:g}"


def _extremes(key: str) -> str:
    return f"{key}:extremes"
