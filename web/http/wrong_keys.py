"""Slow down addresses that present one wrong key after another.

A valid key counts at once, from any address: others behind the same proxy may have sent the wrong ones. So
this does not stop guessing; the length of the keys does. It makes wrong keys cheap, and guessing visible.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import metrics
from errors import TooManyWrongKeys
from web.http.addresses import owner_of

# A leaky bucket for each address: so many wrong keys at once, and one more each second. Tools that try an API
# with wrong keys, like Schemathesis, send fewer.
MOST_AT_ONCE: Final = 60
SECONDS_EACH: Final = 1.0
# Wrong keys beyond the limit count too, up to a minute's wait.
MOST_COUNTED: Final = MOST_AT_ONCE + 59
# A table of this size takes about 2 MB. The address that was silent for longest is forgotten first.
MOST_ADDRESSES: Final = 10_000


class WrongKeys:
    """Counts wrong keys by address. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By address: the bucket's level at a time in seconds. The newest is last.
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def addresses(self) -> int:
        """The number of addresses in the table."""
        return len(self._levels)

    def is_slowed(self, address: str) -> bool:
        """Whether another wrong key of this address is one too many."""
        now = self._clock()
        with self._lock:
            self._forget_silent(now)
            return self._level(owner_of(address), now) > MOST_AT_ONCE - 1

    def count(self, address: str) -> None:
        """Count a wrong key. Raises `TooManyWrongKeys` if the address has sent too many."""
        owner, now = owner_of(address), self._clock()
        with self._lock:
            self._forget_silent(now)
            level = min(self._level(owner, now) + 1, MOST_COUNTED)
            self._levels[owner] = level, now
            self._levels.move_to_end(owner)
            if len(self._levels) > MOST_ADDRESSES:
                self._levels.popitem(last=False)
        is_slowed = level > MOST_AT_ONCE
        metrics.WRONG_KEYS.labels(result="slowed" if is_slowed else "refused").inc()
        if is_slowed:
            raise TooManyWrongKeys(math.ceil((level + 1 - MOST_AT_ONCE) * SECONDS_EACH))

    def _level(self, owner: str, now: float) -> float:
        level, then = self._levels.get(owner, (0.0, now))
        return max(0.0, level - (now - then) / SECONDS_EACH)

    def _forget_silent(self, now: float) -> None:
        while self._levels:
            owner, (_, then) = next(iter(self._levels.items()))
            if now - then < MOST_COUNTED * SECONDS_EACH:
                return
            del self._levels[owner]
