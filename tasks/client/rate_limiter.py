"""Limit the readings a second of keys and tenants, for HTTP and Kafka.

Each process decides by itself, in memory: a token bucket for each key and each tenant that is limited. Redis
holds one bucket for all processes. Once a second a thread takes from it what this process has given, and
learns this process's share. While Redis is away, each process counts by itself.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast

from redis import RedisError

from errors import LimitState, RateLimited
from settings import Settings
from tasks.storage.redis_connection import PinnedConnection, Things, connect, for_each

log = logging.getLogger(__name__)

RECONCILE_EVERY_S: Final = 1.0
# A bucket without a request for this long is full again, and is dropped.
IDLE_S: Final = 10.0
# Callers can name any number of tenants. Beyond this number the oldest bucket is dropped: its key or tenant
# starts again with a full one.
MAX_BUCKETS: Final = 4_096
# The most that a bucket may owe, in seconds of its rate. It bounds `Retry-After`.
MAX_DEBT_S: Final = 10.0
# Sums of floats are a little less than they should be.
ONE_TOKEN: Final = 1 - 1e-9
# A bucket in Redis ends this long after its last use. It is full before.
SHARED_TTL_S: Final = 60

# Take from each bucket of all processes, which may owe. What was taken came at some time since this process
# was here last, so the tokens of that time are added before the bucket is full. Returns the tokens, and all
# readings asked for so far.
_TAKE: Final = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local found = {}
for i, key in ipairs(KEYS) do
  local rate, taken = tonumber(ARGV[4 * i - 1]), ARGV[4 * i]
  local asked, elapsed = ARGV[4 * i + 1], ARGV[4 * i + 2]
  local held = redis.call('HMGET', key, 'tokens', 'at')
  local tokens = rate
  if held[1] then tokens = math.min(rate, held[1] + (math.max(0, now - held[2]) - elapsed) * rate) end
  tokens = math.min(rate, tokens + elapsed * rate - taken)
  tokens = math.max(-rate * ARGV[2], tokens)
  redis.call('HSET', key, 'tokens', tokens, 'at', now)
  table.insert(found, tostring(tokens))
  table.insert(found, redis.call('HINCRBY', key, 'asked', asked))
  redis.call('EXPIRE', key, ARGV[1])
end
return found
"""


class Rate(NamedTuple):
    """A limit: its name for callers, whom it counts (`key:ID` or `tenant:ID`), and readings a second."""

    name: str
    subject: str
    per_second: int


def tenant_rate(tenant: str | None, per_second: int) -> Rate:
    """The limit of a tenant. Readings without a tenant count as those of one tenant."""
    return Rate("tenant-readings", f"tenant:{tenant or ''}", per_second)


def key_rate(key_id: str, per_second: int) -> Rate:
    """The limit of an API key."""
    return Rate("key-readings", f"key:{key_id}", per_second)


class Bucket:
    """The tokens of one subject in one process: a second's worth at most. Times in seconds.

    Not thread-safe. `refill` is this process's share of the rate, in tokens a second. `taken` and `asked`
    count since the last reconciliation.
    """

    __slots__ = (
        *("_advanced_at", "_asked_of_all", "asked", "rate", "reconciled_at", "refill"),
        *("taken", "tokens", "used_at"),
    )

    def __init__(self, rate: int, now: float) -> None:
        self.rate = rate
        self.tokens = self.refill = float(rate)
        self.taken = self.asked = 0
        self.used_at = self._advanced_at = self.reconciled_at = now
        self._asked_of_all: int | None = None

    @property
    def wait_s(self) -> float:
        """About the time until there is a token; 0 if there is one."""
        # The share of a process that was not asked before grows within a second.
        return max(0.0, ONE_TOKEN - self.tokens) / max(self.refill, self.rate / 10)

    def advance(self, now: float) -> None:
        """Add the tokens since the last call."""
        tokens = self.tokens + (now - self._advanced_at) * self.refill
        self.tokens = tokens if tokens < self.rate else float(self.rate)
        self._advanced_at = now

    def change_rate(self, rate: int) -> None:
        """Use another rate from now on."""
        self.rate = rate
        self.refill = float(rate)

    def reconcile(self, now: float, asked: int, shared_tokens: float, asked_of_all: int) -> None:
        """Learn the tokens of the bucket of all processes, and how much they all were ever asked for.

        `asked` is what this process was asked for since the last reconciliation. While all are asked for
        more than the rate, each gets the share that it is asked for. Otherwise each gets what others leave.
        """
        self.advance(now)
        elapsed = max(now - self.reconciled_at, 0.001)
        before = self._asked_of_all
        # A smaller sum has expired in between. Of the time before the first sum nothing is known.
        others = 0 if before is None or asked_of_all < before else asked_of_all - before - asked
        own_demand, other_demand = asked / elapsed, max(0, others) / elapsed
        demand = own_demand + other_demand
        over = demand > self.rate
        self.refill = self.rate * own_demand / demand if over else self.rate - other_demand
        # A share, so that processes do not all spend the same tokens, or all wait for the same debt. A token
        # that this process has saved stays: its share may be less than one a second.
        share = shared_tokens * self.refill / self.rate
        self.tokens = max(share, min(self.tokens, shared_tokens, 1.0))
        self._asked_of_all, self.reconciled_at = asked_of_all, now

    def forget_others(self, now: float) -> None:
        """Count alone: Redis cannot be reached."""
        self.advance(now)
        self.refill = float(self.rate)
        self._asked_of_all, self.reconciled_at = None, now


class RateLimiter:
    """The limiter of one process. Thread-safe. Costs nothing until a first limit is asked about."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = PinnedConnection(connect(settings.redis_url))
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._is_alone = False

    def start(self) -> None:
        """Share the counts with other processes from the first limited request on. Does not block."""
        self._thread = threading.Thread(target=self._run, name="rate limits", daemon=True)

    def close(self) -> None:
        """Stop the thread. Does not block."""
        self._stopped.set()

    def take(self, rates: Sequence[Rate], *, again: bool = False) -> list[LimitState]:
        """Take a token of each limit, or of none. Returns their states. Does not block.

        `again` says that this reading was refused before: it adds to the demand at most a rate's worth.

        Raises `RateLimited` if one of them has no token.
        """
        now, wait_s, over = self._clock(), 0.0, None
        with self._lock:
            buckets = []
            for rate in rates:
                bucket = self._buckets.get(rate.subject)
                if bucket is None or bucket.rate != rate.per_second:
                    bucket = self._bucket(rate, now)
                buckets.append(bucket)
                bucket.advance(now)
                bucket.used_at = now
                if not again or bucket.asked < bucket.rate:
                    bucket.asked += 1
                if bucket.tokens < ONE_TOKEN and bucket.wait_s > wait_s:
                    wait_s, over = bucket.wait_s, rate
            if over is None:
                for bucket in buckets:
                    bucket.tokens -= 1
                    bucket.taken += 1
            states = [_state(rate, bucket) for rate, bucket in zip(rates, buckets, strict=True)]
        if over is None:
            return states
        detail = f"The limit {over.name} is reached: {over.per_second} readings a second."
        raise RateLimited(detail, limit=over.name, wait_s=wait_s, limits=states)

    def reconcile(self) -> None:
        """Exchange the counts with Redis, once. Blocks for Redis; raises nothing."""
        now = self._clock()
        with self._lock:
            idle = [name for name, bucket in self._buckets.items() if now - bucket.used_at > IDLE_S]
            for name in idle:
                del self._buckets[name]
            counted = []
            for name, bucket in self._buckets.items():
                elapsed = now - bucket.reconciled_at
                counted.append((name, bucket, (bucket.rate, bucket.taken, bucket.asked, elapsed)))
                bucket.taken = bucket.asked = 0
        if not counted:
            return
        things: Things = [([f"ml:limits:readings:{name}"], counts) for name, _, counts in counted]
        try:
            replies = self._connection.execute(*for_each(_TAKE, [SHARED_TTL_S, MAX_DEBT_S], things))
        except RedisError as error:
            self._note(alone=True, reason=str(error))
            # The counts of an outage are dropped: added later, they would be a debt for the time after it.
            for _, bucket, _ in counted:
                with self._lock:
                    bucket.forget_others(self._clock())
            return
        self._note(alone=False)
        now = self._clock()
        found = [value for reply in replies for value in cast(list[Any], reply)]
        for (_, bucket, counts), tokens, asked in zip(counted, found[::2], found[1::2], strict=True):
            with self._lock:  # for each by itself: an event loop waits for it
                bucket.reconcile(now, counts[2], float(tokens), asked)

    def _bucket(self, rate: Rate, now: float) -> Bucket:
        bucket = self._buckets.get(rate.subject)
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[rate.subject] = Bucket(rate.per_second, now)
            if self._thread is not None and not self._thread.is_alive() and not self._stopped.is_set():
                self._thread.start()
        elif bucket.rate != rate.per_second:
            bucket.change_rate(rate.per_second)
        return bucket

    def _note(self, *, alone: bool, reason: str = "") -> None:
        if alone and not self._is_alone:
            log.warning(
                "limits of readings count for this process alone, Redis cannot be reached: %s", reason
            )
        elif self._is_alone and not alone:
            log.info("limits of readings count for all processes again")
        self._is_alone = alone

    def _run(self) -> None:
        while not self._stopped.wait(RECONCILE_EVERY_S):
            try:
                self.reconcile()
            except Exception:
                log.exception("limits of readings could not be shared")


def _state(rate: Rate, bucket: Bucket) -> LimitState:
    tokens = bucket.tokens
    if tokens < 0:
        return LimitState(rate.name, rate.per_second, 0, 1, math.ceil(bucket.wait_s))
    return LimitState(rate.name, rate.per_second, int(tokens), 1, 1)
