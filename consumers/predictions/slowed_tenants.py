"""Slow the readings of tenants that are over their limit of readings a second. None is refused.

Held readings stay in memory and keep their offsets uncommitted. Their number is bounded: the loop fetches no
more of a partition that has too many records under way (`consumers/kafka/offsets.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from consumers.kafka.offsets import PendingRecord
from errors import RateLimited
from readings.reading import Reading
from tasks.client.rate_limiter import RateLimiter, tenant_rate

# Held readings are looked at this often.
LOOK_EVERY_S: Final = 0.05
# The status is kept for this long, so that it does not change with every second's worth of readings.
SHOWN_S: Final = 10.0


class SlowedTenants:
    """Readings that wait for the limit of their tenant. Not thread-safe; `clock` returns seconds."""

    def __init__(self, limiter: RateLimiter, per_second: int, *, clock: Callable[[], float]) -> None:
        self._limiter = limiter
        self._per_second = per_second
        self._clock = clock
        self._held: dict[str | None, deque[tuple[PendingRecord, Reading]]] = {}
        self._next_look = 0.0
        self._shown_until = 0.0

    @property
    def reason(self) -> str:
        """The status for operators, a sentence; empty while no tenant is slowed. It names no tenant."""
        if self._clock() < self._shown_until:
            return f"readings of tenants over {self._per_second} a second wait for their turn"
        return ""

    def hold(self, record: PendingRecord, reading: Reading, tenant: str | None) -> bool:
        """Whether a new reading has to wait. Readings of a tenant stay in their order."""
        if not self._per_second:
            return False
        if tenant not in self._held:
            if self._may_go(tenant):
                return False
            self._held[tenant] = deque()
        self._held[tenant].append((record, reading))
        self._shown_until = self._clock() + SHOWN_S
        return True

    def released(self) -> Iterator[tuple[PendingRecord, Reading, str | None]]:
        """The held readings whose turn it is. Dropped records are left out."""
        now = self._clock()
        if not self._held or now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        for tenant, readings in list(self._held.items()):
            while readings and (readings[0][0].dropped or self._may_go(tenant, again=True)):
                record, reading = readings.popleft()
                if not record.dropped:
                    yield record, reading, tenant
            if not readings:
                del self._held[tenant]
            else:
                self._shown_until = now + SHOWN_S

    def _may_go(self, tenant: str | None, *, again: bool = False) -> bool:
        try:
            self._limiter.take([tenant_rate(tenant, self._per_second)], again=again)
        except RateLimited:
            return False
        return True
