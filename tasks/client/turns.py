"""Fairness between the tenants of one process: a queue that takes from them in turn, and shared capacity.

Requests without a tenant count as those of one more tenant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from tasks.client.pending import PendingRequest

Tenant = str | None
# While several tenants ask, so many refusals at once take the shorter time, the others the longer one, their
# `Retry-After`. A refusal costs almost as much as an answer. A tenant that repeats its requests at once would
# take the time of the others (docs/adr/0018).
QUICK_REFUSALS: Final = 32
REFUSED_SOON_S: Final = 0.02
REFUSED_LATER_S: Final = 1.0


class TurnQueue:
    """A queue that gives one request of each waiting tenant in turn. Not thread-safe.

    The requests of one tenant keep their order. The time for one does not depend on the number of tenants. A
    tenant without requests takes no memory.
    """

    def __init__(self) -> None:
        self._requests: dict[Tenant, deque[PendingRequest]] = {}
        # The tenants of `_requests`, the next one first.
        self._turns: deque[Tenant] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, request: PendingRequest) -> None:
        """Add a request behind those of its tenant."""
        tenant = request.key[1]
        waiting = self._requests.get(tenant)
        if waiting is None:
            self._requests[tenant] = deque((request,))
            self._turns.append(tenant)
        else:
            waiting.append(request)
        self._size += 1

    def extend(self, requests: Iterable[PendingRequest]) -> None:
        """Add requests, each behind those of its tenant."""
        for request in requests:
            self.add(request)

    def take(self, most: int) -> list[PendingRequest]:
        """Remove and return up to `most` requests."""
        turns = self._turns
        if len(turns) == 1 and self._size <= most:  # the usual case, five times as fast
            self._size = 0
            return list(self._requests.pop(turns.popleft()))
        taken: list[PendingRequest] = []
        while turns and len(taken) < most:
            tenant = turns[0]
            waiting = self._requests[tenant]
            # The only tenant that waits has all turns.
            count = 1 if len(turns) > 1 else min(len(waiting), most - len(taken))
            taken += [waiting.popleft() for _ in range(count)]
            if waiting:
                turns.rotate(-1)
            else:
                turns.popleft()
                del self._requests[tenant]
        self._size -= len(taken)
        return taken

    def keep(self, most: int) -> list[PendingRequest]:
        """Keep the `most` requests that would be taken first. Remove and return the others."""
        if self._size <= most:
            return []
        waiting = self.take(self._size)
        self.extend(waiting[:most])
        return waiting[most:]


class SharedCapacity:
    """A number of requests at the same time, for all tenants together: `total`. Not thread-safe.

    A tenant may take all of it while no other one does. When it is all taken, a tenant still gets its share:
    the total divided by the number of tenants that hold some. So the total may be exceeded until requests of
    the others end: half as much by two tenants, 6 times by 256 of them, and not further by more.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._taken = 0
        self._held: dict[Tenant, int] = {}

    def take(self, tenant: Tenant) -> bool:
        """Take capacity for one request of `tenant`. False if there is none for it."""
        if not self.has_room(tenant):
            return False
        self._held[tenant] = self._held.get(tenant, 0) + 1
        self._taken += 1
        return True

    def has_room(self, tenant: Tenant) -> bool:
        """Whether `take` would grant capacity to `tenant`."""
        if self._taken < self.total:
            return True
        held = self._held.get(tenant, 0)
        return held < self.total // (len(self._held) + (not held))

    def give_back(self, tenant: Tenant) -> None:
        """Return the capacity of one request that `take` granted."""
        held = self._held[tenant] - 1
        if held:
            self._held[tenant] = held
        else:
            del self._held[tenant]
        self._taken -= 1
