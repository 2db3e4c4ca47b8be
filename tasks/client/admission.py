"""Admission of single predictions: how many may wait in one process (docs/adr/0018).

As many may wait as workers answer in `WAIT_SHARE` of the deadline, and at most `ML_MAX_WAITING`. Callers
beyond that are refused at once. So a slow worker does not let all callers wait until their deadlines, and a
fast one serves thousands of connections without a refusal.

The module uses no threads, clock or sockets. Times are `time.monotonic()` seconds that are passed in.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tasks.client.turns import SharedCapacity, Tenant

# Share of the deadline that a request may wait for its task. The rest is for a retry of a lost task.
WAIT_SHARE: Final = 0.4
# Requests that could not be answered in this share of it are refused while they wait: a worker became slower.
KEPT_SHARE: Final = 0.8
# Full tasks over which the throughput is measured: about a second of a slow worker, a fifth of a fast one's.
TASKS_MEASURED: Final = 8
# Beyond the capacity, cached verdicts are still answered. Look-ups go on while at least this share of them
# finds one. Otherwise one of `PROBED_EACH` requests is looked up, and the others are refused unread.
WORTH_LOOKING: Final = 0.1
PROBED_EACH: Final = 16
# Weight of the newest look-up in the share.
NEWEST: Final = 1 / 32


class Throughput:
    """Readings that workers answer in a second while there is always more to do. Not thread-safe.

    Only full tasks count: a smaller one has a larger fixed cost a reading.
    """

    def __init__(self) -> None:
        self._tasks: deque[tuple[int, float]] = deque(maxlen=TASKS_MEASURED)
        self._answered_at = 0.0

    def note_full(self, size: int, sent_at: float, now: float) -> None:
        """Note the answer to a full task. It took the time since it was sent, or since the answer before."""
        self._tasks.append((size, now - max(sent_at, self._answered_at)))
        self._answered_at = now

    @property
    def per_second(self) -> float:
        """The throughput over the last tasks; at least one must have been noted."""
        taken_s = sum(seconds for _, seconds in self._tasks)
        return sum(size for size, _ in self._tasks) / max(taken_s, 1e-6)


class Admission:
    """The capacity of one process for callers that wait. Not thread-safe.

    `most` and `least` bound the number of callers; `timeout_s` is their deadline. `kept` is the number of
    those waiting for a task that can be answered in time.
    """

    def __init__(self, most: int, least: int, timeout_s: float) -> None:
        self._most = most
        self._least = min(least, most)
        self._timeout_s = timeout_s
        self.kept = most
        self._capacity = SharedCapacity(most)
        self._throughput = Throughput()
        self._hits = 1.0
        self._unread = 0

    @property
    def total(self) -> int:
        """Number of callers that may wait now, of all tenants together."""
        return self._capacity.total

    def take(self, tenant: Tenant) -> bool:
        """Take capacity for one request of `tenant`. False if there is none for it."""
        return self._capacity.take(tenant)

    def give_back(self, tenant: Tenant) -> None:
        """Return the capacity of one request that `take` granted."""
        self._capacity.give_back(tenant)

    def is_refused_unread(self, tenant: Tenant) -> bool:
        """Whether to refuse a request of `tenant` before it is read. Call it once for each request.

        False if there is capacity, or if its verdict may be cached.
        """
        if self._capacity.has_room(tenant) or self._hits >= WORTH_LOOKING:
            return False
        self._unread = (self._unread + 1) % PROBED_EACH
        return self._unread != 0

    def note_look_up(self, *, is_hit: bool) -> None:
        """Note whether a request beyond the capacity was answered from the cache."""
        self._hits += (is_hit - self._hits) * NEWEST

    def note_full_task(self, size: int, sent_at: float, now: float) -> None:
        """Note the answer to a full task, and set the capacity from the throughput."""
        self._throughput.note_full(size, sent_at, now)
        answered = self._throughput.per_second * self._timeout_s
        self._capacity.total = max(self._least, min(self._most, round(answered * WAIT_SHARE)))
        self.kept = max(self._least, round(answered * KEPT_SHARE))
