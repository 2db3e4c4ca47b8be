"""Cache of the last failure prediction of each charger, for when the service is unavailable."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from cachetools import TTLCache

from evzone_ml_client.schemas import FailurePrediction


@dataclass(frozen=True, slots=True)
class StalePrediction:
    """A prediction received `age_s` seconds ago, which may be outdated."""

    prediction: FailurePrediction
    age_s: float


class LastPredictions:
    """LRU cache of the last predictions of `capacity` chargers, each for `ttl_s`. Thread-safe."""

    def __init__(self, capacity: int, ttl_s: float) -> None:
        self._held: TTLCache[str, tuple[float, FailurePrediction]] = TTLCache(capacity, ttl_s)
        self._lock = threading.Lock()
        self._capacity = capacity

    def keep(self, charger_id: str, prediction: FailurePrediction | None) -> None:
        """Store a prediction unless a newer one is held. None: delete the entry."""
        if not self._capacity:
            return
        with self._lock:
            if prediction is None:
                self._held.pop(charger_id, None)
                return
            held = self._held.get(charger_id)
            # The service's times share one format, in UTC: string order is time order.
            if held is None or held[1]["reading_timestamp"] <= prediction["reading_timestamp"]:
                self._held[charger_id] = (time.monotonic(), prediction)

    def get(self, charger_id: str) -> StalePrediction | None:
        """Return the last prediction of a charger, or None."""
        with self._lock:
            held = self._held.get(charger_id)
        if held is None:
            return None
        kept_at, prediction = held
        return StalePrediction(prediction, age_s=time.monotonic() - kept_at)
