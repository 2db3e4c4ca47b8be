"""The last failure prediction of each charger, for when the service cannot be asked."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from cachetools import TTLCache

from evzone_ml_client.schemas import FailurePrediction


@dataclass(frozen=True, slots=True)
class StalePrediction:
    """A prediction that was good `age_s` seconds ago, and may not be so any more."""

    prediction: FailurePrediction
    age_s: float


class LastPredictions:
    """The last predictions of `capacity` chargers, the longest unused forgotten first. For any thread."""

    def __init__(self, capacity: int, ttl_s: float) -> None:
        self._held: TTLCache[str, tuple[float, FailurePrediction]] = TTLCache(capacity, ttl_s)
        self._lock = threading.Lock()
        self._capacity = capacity

    def keep(self, charger_id: str, prediction: FailurePrediction | None) -> None:
        """Remember what the service says, unless something newer is known. None: it has nothing."""
        if not self._capacity:
            return
        with self._lock:
            if prediction is None:
                self._held.pop(charger_id, None)
                return
            held = self._held.get(charger_id)
            # Times of the service have one form, in UTC: their order is that of their letters.
            if held is None or held[1]["reading_timestamp"] <= prediction["reading_timestamp"]:
                self._held[charger_id] = (time.monotonic(), prediction)

    def get(self, charger_id: str) -> StalePrediction | None:
        with self._lock:
            held = self._held.get(charger_id)
        if held is None:
            return None
        kept_at, prediction = held
        return StalePrediction(prediction, age_s=time.monotonic() - kept_at)
