"""Shadow comparison: a second version scores the same traffic without replying. Sums are kept in Redis.

A comparison belongs to a pair of versions and an alert threshold. It is kept for 30 days after its last
reading, and continues if the same pair is set again. It includes all tenants.
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
    # These import the models' libraries, which the web processes do not load.
    from models.monitoring.loaded_version import LoadedVersion, Seen

log = logging.getLogger(__name__)

KEPT_S: Final = 30 * 86_400


class ShadowComparison:
    """Comparison of one pair of versions in one worker process. Use in one thread."""

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
        """Compare the scores of both versions. Readings that the shadow cannot score count as failed."""
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
        """Count readings that were skipped for lack of time."""
        if number:
            self._count("dropped", number)

    def flush(self) -> None:
        """Add the sums to Redis and reset them. Raises `redis.RedisError`; the sums are then kept."""
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
    """Reports on the comparison of a model's active version with its shadow."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._settings = settings
        self._redis = redis

    def report(self, name: str) -> dict[str, Any]:
        """Figures of both versions, and the state of the shadow in each worker.

        Raises `UnknownModel`, `NotFound` if no shadow is set, `ModelRefused` if no version is active or the
        SHADOW file is invalid, and `redis.RedisError`.
        """
        stored, model_dir = stored_name(name), self._settings.model_dir
        active, shadow = (
            registry.active_version(model_dir, stored),
            registry.shadow_version(model_dir, stored),
        )
        if shadow is None:
            raise NotFound(f"No shadow version is set for model {stored}.")
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
    """The score (0-1) from which a reading is an alert or an anomaly."""
    return ANOMALY_THRESHOLD / 100 if name == "anomaly" else settings.alert_threshold


def _key(name: str, active: str, shadow: str, limit: float) -> str:
    return f"ml:shadow:{name}:{active}:{shadow}:{limit:g}"


def _extremes(key: str) -> str:
    return f"{key}:extremes"
