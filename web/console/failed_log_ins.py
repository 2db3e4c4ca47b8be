"""Failed log-ins for the audit log: who tries is written down, and a flood cannot push out other entries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

# A leaky bucket for all addresses of a process: so many entries at once, and one more each five minutes. At
# that pace an attack needs a month to fill the newest entries that Redis keeps.
MOST_AT_ONCE: Final = 20
SECONDS_EACH: Final = 300.0


class FailedLogIns:
    """Decides which failed log-ins have an entry, and counts the others. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._level, self._at = 0.0, clock()
        self._left_out = 0
        self._lock = threading.Lock()

    def count(self) -> int | None:
        """Count one. Returns the number of those without an entry since the last entry; None for one more."""
        with self._lock:
            now = self._clock()
            self._level = max(0.0, self._level - (now - self._at) / SECONDS_EACH)
            self._at = now
            if self._level > MOST_AT_ONCE - 1:
                self._left_out += 1
                return None
            self._level += 1
            left_out, self._left_out = self._left_out, 0
            return left_out
