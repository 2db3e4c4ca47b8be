"""Copies of fleets in the memory of a process, each for the tenant that is asked for. Thread-safe.

A copy is loaded at its first use. Later uses fetch the rows that have changed since; those of a large fleet
at most once a second, so that it is never older than two. It is loaded again after an erasure, which leaves
nothing to fetch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from redis import Redis

from errors import QueueFull
from settings import Settings
from tasks.storage.charger_attributes import attributes_key, decoded, restated_key
from tasks.storage.fleet import DAY_S, changed_key, erasures_key, rows_key
from tasks.storage.fleet_columns import FleetColumns
from tasks.storage.fleet_rows import decode_row
from tasks.storage.redis_connection import connect

log = logging.getLogger(__name__)

REFRESH_EVERY_S: Final = 1.0
# A fleet up to this size is refreshed at each use, so that a caller sees its own changes at once.
SMALL_FLEET: Final = 10_000
# Rows are fetched again that were written this long before the last refresh.
OVERLAP_MS: Final = 1_000
# The others that ask for a fleet wait this long while it is loaded.
LOAD_WAIT_S: Final = 3.0
UNUSED_S: Final = 600.0
SWEEP_EVERY_S: Final = 60.0
MOST_TENANTS: Final = 64
# About 400 bytes each.
MOST_CHARGERS: Final = 1_000_000
# Other threads wait for the interpreter lock for about two milliseconds of these.
READ_AT_ONCE: Final = 250
# A fleet with this many more texts than twice its chargers is loaded again, to forget those out of use.
WASTE: Final = 10_000


class _Copy:
    """The fleet of a tenant. `fetching` is held while it is loaded or refreshed, `lock` while it is used."""

    def __init__(self) -> None:
        self.fetching = threading.Lock()
        self.lock = threading.Lock()
        self.columns = FleetColumns()
        self.is_loaded = False
        self.erasures: bytes | None = None
        self.seen_ms = 0.0
        self.refreshed_at = 0.0
        self.used_at = time.monotonic()


class FleetSnapshots:
    """The fleets that this process holds, the ones that were used last."""

    def __init__(self, settings: Settings, redis: Redis | None = None) -> None:
        self._redis: Redis = redis or connect(settings.redis_url)
        self._retention_ms = settings.fleet_retention_days * DAY_S * 1_000
        self._copies: OrderedDict[str | None, _Copy] = OrderedDict()
        self._lock = threading.Lock()
        self._sweeper: threading.Timer | None = None

    @contextmanager
    def of(self, tenant: str | None) -> Iterator[tuple[FleetColumns, float]]:
        """The fleet of a tenant, not older than two seconds, and the time in ms since which its rows count.

        Blocks while the fleet is loaded or refreshed. Others wait for the end of the context: leave it soon.
        Raises `QueueFull` if another thread has not loaded it in time, and `redis.RedisError`.
        """
        copy = self._copy_of(tenant)
        self._bring_up_to_date(copy, tenant)
        with copy.lock:
            yield copy.columns, copy.seen_ms - self._retention_ms

    def sweep(self) -> None:
        """Drop the copies that were not used for ten minutes."""
        oldest = time.monotonic() - UNUSED_S
        with self._lock:
            for tenant in [each for each, copy in self._copies.items() if copy.used_at < oldest]:
                del self._copies[tenant]
            self._sweeper = None
            self._sweep_later()

    def close(self) -> None:
        """Drop all copies, and end the timer."""
        with self._lock:
            self._copies.clear()
            if self._sweeper is not None:
                self._sweeper.cancel()

    def _copy_of(self, tenant: str | None) -> _Copy:
        with self._lock:
            copy = self._copies.get(tenant)
            if copy is None:
                copy = self._copies[tenant] = _Copy()
            self._copies.move_to_end(tenant)
            copy.used_at = time.monotonic()
            while len(self._copies) > 1 and self._are_too_many():
                self._copies.popitem(last=False)
            self._sweep_later()
            return copy

    def _are_too_many(self) -> bool:
        chargers = sum(len(copy.columns) for copy in self._copies.values())
        return len(self._copies) > MOST_TENANTS or chargers > MOST_CHARGERS

    def _sweep_later(self) -> None:
        if self._copies and self._sweeper is None:
            self._sweeper = threading.Timer(SWEEP_EVERY_S, self.sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _bring_up_to_date(self, copy: _Copy, tenant: str | None) -> None:
        is_new, is_small = not copy.is_loaded, len(copy.columns) <= SMALL_FLEET
        if not is_new and not is_small and time.monotonic() - copy.refreshed_at < REFRESH_EVERY_S:
            return
        if not copy.fetching.acquire(timeout=LOAD_WAIT_S if is_new or is_small else 0):
            if is_new:
                raise QueueFull("fleets")
            return  # another thread refreshes it
        try:
            if not copy.is_loaded or not self._refresh(copy, tenant):
                self._load(copy, tenant)
        finally:
            copy.fetching.release()

    def _load(self, copy: _Copy, tenant: str | None) -> None:
        started = time.monotonic()
        seconds, micros = self._redis.time()
        erasures = cast("bytes | None", self._redis.get(erasures_key(tenant)))
        columns = FleetColumns()
        cursor = 0
        while True:
            cursor, found = cast(
                "tuple[int, list[tuple[bytes, float]]]",
                self._redis.zscan(changed_key(tenant), cursor, count=READ_AT_ONCE),
            )
            self._fetch(columns, tenant, found)
            if cursor == 0:
                break
        while True:
            cursor, fields = cast(
                "tuple[int, dict[bytes, bytes]]",
                self._redis.hscan(attributes_key(tenant), cursor, count=READ_AT_ONCE),
            )
            others = {
                name.decode(): decoded(field)
                for name, field in fields.items()
                if name.decode() not in columns
            }
            columns.restate(list(others), list(others.values()))
            if cursor == 0:
                break
        with copy.lock:
            copy.columns, copy.erasures, copy.seen_ms = columns, erasures, seconds * 1e3 + micros / 1e3
            copy.refreshed_at, copy.is_loaded = started, True
        log.debug("%d chargers are loaded in %.2f s", len(columns), time.monotonic() - started)

    def _refresh(self, copy: _Copy, tenant: str | None) -> bool:
        """Fetch the rows that have changed. False if the fleet must be loaded again."""
        started = time.monotonic()
        columns = copy.columns
        if started - copy.refreshed_at > UNUSED_S:
            return False  # attributes that changed before are no longer listed
        since = copy.seen_ms - OVERLAP_MS
        oldest = since - self._retention_ms
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.time()
            pipeline.get(erasures_key(tenant))
            pipeline.zcount(changed_key(tenant), oldest, "+inf")
            pipeline.zrangebyscore(changed_key(tenant), since, "+inf", withscores=True)
            pipeline.zrangebyscore(restated_key(tenant), since, "+inf")
            pipeline.hlen(attributes_key(tenant))
            (seconds, micros), erasures, count, changed, restated, stated = pipeline.execute()
        if erasures != copy.erasures or stated + len(restated) < columns.stated():
            return False  # attributes are gone that nobody has changed: those of an erased tenant
        # Most of the overlap is known. Another write in the same millisecond may not be.
        certain = copy.seen_ms - 10
        new = [
            each for each in changed if each[1] > certain or not columns.is_held(each[0].decode(), each[1])
        ]
        self._fetch(columns, tenant, new, lock=copy.lock)
        if count < columns.count(oldest):
            return False  # the tenant is erased, and its count of erasures with it
        if columns.waste() > count + WASTE:
            return False  # texts that no charger has any more
        for start in range(0, len(restated), READ_AT_ONCE):
            some = [charger_id.decode() for charger_id in restated[start : start + READ_AT_ONCE]]
            fields = cast("list[bytes | None]", self._redis.hmget(attributes_key(tenant), some))
            with copy.lock:
                columns.restate(some, list(map(decoded, fields)))
        copy.seen_ms, copy.refreshed_at = seconds * 1e3 + micros / 1e3, started
        return True

    def _fetch(
        self,
        columns: FleetColumns,
        tenant: str | None,
        changed: Sequence[tuple[bytes, float]],
        *,
        lock: threading.Lock | None = None,
    ) -> None:
        """Read the rows of chargers, and put them into the columns, `READ_AT_ONCE` at a time."""
        for start in range(0, len(changed), READ_AT_ONCE):
            some = changed[start : start + READ_AT_ONCE]
            charger_ids = [charger_id.decode() for charger_id, _ in some]
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.hmget(rows_key(tenant), charger_ids)
                pipeline.hmget(attributes_key(tenant), charger_ids)
                rows, fields = cast("list[list[Any]]", pipeline.execute())
            put = (
                charger_ids,
                [written for _, written in some],
                [None if row is None else decode_row(row) for row in rows],
                list(map(decoded, fields)),
            )
            if lock is None:
                columns.put(*put)
            else:
                with lock:
                    columns.put(*put)
