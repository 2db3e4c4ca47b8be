"""Requests to erase state, as the heartbeat has read them from Redis, and what this process has done of them.

The loop's thread asks for the requests that are due and reports those that it has carried out. The
heartbeat's thread exchanges both with Redis, so that the loop never waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from redis import Redis

from consumers.kafka.offsets import Partition
from tasks.storage.state_erasures import StateErasure, StateErasures

# Whether the state of a charger of a tenant (None: without one) is to be erased.
IsErased = Callable[[str | None, str], bool]


class PendingErasures:
    """The requests to consumers of one role. `refresh` and the other methods run in two threads."""

    def __init__(self, redis: Redis, role: str) -> None:
        self._requests = StateErasures(redis)
        self._role = role
        # Replaced as a whole, so that each thread may read it at any time.
        self._pending: Sequence[StateErasure] = ()
        # Partitions that this process has done, by request; and the number of partitions of the topic.
        self._done: dict[str, set[int]] = {}
        self._of = 0

    def __bool__(self) -> bool:
        return bool(self._pending)

    def refresh(self) -> None:
        """Report finished partitions and read the requests. Raises `redis.RedisError`."""
        for request in self._pending:
            done = frozenset(self._done.get(request.request_id, ())) - request.done
            if done:
                self._requests.note_done(self._role, request.request_id, done, of=self._of)
        self._pending = self._requests.pending(self._role)

    def due(self, partitions: Collection[Partition]) -> dict[Partition, list[StateErasure]]:
        """The requests of each partition that have not been carried out there."""
        found: dict[Partition, list[StateErasure]] = {}
        for request in self._pending:
            done = request.done | self._done.get(request.request_id, set())
            for partition in partitions:
                if partition.partition not in done:
                    found.setdefault(partition, []).append(request)
        return found

    def carried_out(self, due: dict[Partition, list[StateErasure]], *, of: int) -> None:
        """Note requests as done in their partitions. The topic has `of` partitions."""
        self._of = of
        known = {request.request_id for request in self._pending}
        self._done = {each: numbers for each, numbers in self._done.items() if each in known}
        for partition, requests in due.items():
            for request in requests:
                self._done.setdefault(request.request_id, set()).add(partition.partition)


def is_erased(requests: Collection[StateErasure]) -> IsErased:
    """Whether any of the requests concerns a charger."""
    return lambda tenant, charger_id: any(each.concerns(tenant, charger_id) for each in requests)
