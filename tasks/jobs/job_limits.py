"""Limits of open jobs, their rows, and the bytes of jobs, for keys and tenants. Counted in Redis.

Each limited key and tenant has a ledger: totals, and what each of its jobs holds. A job is entered before its
body is read, and grows with each chunk. One script checks and adds, so parallel uploads together stay within
the limits. Nobody reports the end of a job: entries are looked at again when they are due.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, cast

from redis import Redis, RedisError
from redis.client import Pipeline

from errors import BatchTooLarge, LimitState, RateLimited
from settings import Limits, Settings

# An open job is looked at again after this time; one whose input still arrives, after the life of a draft.
LOOK_EVERY_S: Final = 1
DRAFT_S: Final = 600
# An ended job's results are looked at when they expire, and after this time, for they may have been erased.
KEPT_EVERY_S: Final = 3_600
# Redis runs nothing else meanwhile.
LOOKED_AT_ONCE: Final = 64
MOST_LOOKS: Final = 50
# When to come back: jobs end within seconds or minutes, results expire within hours.
RETRY_JOBS_S: Final = 5
RETRY_BYTES_S: Final = 60
OWN_TOTALS: Final = ("jobs", "bytes", "rows")
KINDS: Final = {"jobs": "open jobs", "bytes": "bytes of jobs", "rows": "rows of open jobs"}
NAMES: Final = {"jobs": "jobs", "bytes": "job-bytes", "rows": "rows"}

# Look at entries that are due, then add to the ledgers unless a limit is reached.
# KEYS: for each ledger its due times and its hash. ARGV: job, jobs, bytes and rows to add, the time up to
# which entries are due (0: now), the ledgers' life, and for each ledger its limits of jobs, bytes and rows.
# Returns whether there may be more due, now, number of the ledger over its limit (0: added) and which limit,
# and the totals of each ledger.
_ADD: Final = f"""
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local horizon = math.max(now, tonumber(ARGV[5]))
local more = 0

local function enter(due, held, job, jobs, bytes, rows, next_look)
  local old = {{string.match(redis.call('HGET', held, job) or '0:0:0', '(%d+):(%d+):(%d+)')}}
  redis.call('HINCRBY', held, 'jobs', jobs - old[1])
  redis.call('HINCRBY', held, 'bytes', bytes - old[2])
  redis.call('HINCRBY', held, 'rows', rows - old[3])
  if next_look then
    redis.call('HSET', held, job, string.format('%d:%d:%d', jobs, bytes, rows))
    redis.call('ZADD', due, next_look, job)
  else
    redis.call('HDEL', held, job)
    redis.call('ZREM', due, job)
  end
end

local function look(due, held)
  local jobs = redis.call('ZRANGEBYSCORE', due, '-inf', horizon, 'LIMIT', 0, {LOOKED_AT_ONCE})
  if #jobs == {LOOKED_AT_ONCE} then more = 1 end
  for _, job in ipairs(jobs) do
    local record = 'ml:job:' .. job
    local found = redis.call('HMGET', record, 'status', 'total', 'input_bytes', 'result_bytes')
    local results = tonumber(found[4] or 0)
    if not found[1] then
      enter(due, held, job, 0, 0, 0, nil)
    elseif found[1] == 'PENDING' or found[1] == 'RUNNING' then
      enter(due, held, job, 1, tonumber(found[3] or 0) + results, tonumber(found[2]), now + {LOOK_EVERY_S})
    else
      local left = math.max(1, redis.call('PTTL', record) / 1000)
      enter(due, held, job, 0, results, 0, now + math.min(left, {KEPT_EVERY_S}))
    end
  end
end

local function totals(held)
  local found = redis.call('HMGET', held, 'jobs', 'bytes', 'rows')
  return tonumber(found[1] or 0), tonumber(found[2] or 0), tonumber(found[3] or 0)
end

local add = {{tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])}}
local over, which = 0, 0
for ledger = 1, #KEYS / 2 do
  look(KEYS[2 * ledger - 1], KEYS[2 * ledger])
  local held = {{totals(KEYS[2 * ledger])}}
  for limit = 1, 3 do
    local most = tonumber(ARGV[3 + 3 * ledger + limit])
    -- At the start of an upload nothing is known of its rows and bytes: there must be room for one.
    local adds = math.max(add[limit], add[1])
    if over == 0 and most > 0 and adds > 0 and held[limit] + adds > most then over, which = ledger, limit end
  end
end
local found = {{more, tostring(now), over, which}}
for ledger = 1, #KEYS / 2 do
  local due, held = KEYS[2 * ledger - 1], KEYS[2 * ledger]
  if over == 0 then
    local old = {{string.match(redis.call('HGET', held, ARGV[1]) or '0:0:0', '(%d+):(%d+):(%d+)')}}
    enter(due, held, ARGV[1], old[1] + add[1], old[2] + add[2], old[3] + add[3], now + {DRAFT_S})
    redis.call('EXPIRE', due, ARGV[6])
    redis.call('EXPIRE', held, ARGV[6])
  end
  for _, total in ipairs({{totals(held)}}) do table.insert(found, total) end
end
return found
"""


class Ledger(NamedTuple):
    """The ledger of a key or a tenant: the beginning of its limits' names, its Redis key, and the limits."""

    owner: str
    subject: str
    limits: Limits

    @property
    def due(self) -> str:
        """Key of the times at which jobs are looked at again, a sorted set in epoch seconds."""
        return f"ml:limits:jobs:{self.subject}:due"

    @property
    def held(self) -> str:
        """Key of the totals, and of `jobs:bytes:rows` of each job, a hash."""
        return f"ml:limits:jobs:{self.subject}:held"

    @property
    def quotas(self) -> tuple[int, int, int]:
        """The limits in the order of `OWN_TOTALS`; 0 is no limit."""
        return self.limits.jobs, self.limits.job_bytes, self.limits.rows


def limit_keys(tenant: str) -> list[str]:
    """The keys in which the jobs and readings of a tenant are counted."""
    ledger = Ledger("tenant", f"tenant:{tenant}", Limits())
    return [ledger.due, ledger.held, f"ml:limits:readings:{ledger.subject}"]


class Reservation:
    """The job of an upload as it counts for its limits. Methods raise `redis.RedisError`.

    `limits` are the states of the limits after the last change. Without `ledgers` it does nothing.
    """

    def __init__(self, limits: JobLimits, ledgers: Sequence[Ledger]) -> None:
        self.job_id: Final = uuid.uuid4().hex
        self.limits: Sequence[LimitState] = ()
        self._limits = limits
        self.ledgers = ledgers
        self._own = [0, 0, 0]
        self._is_settled = False

    def start(self) -> None:
        """Enter the job; once. Raises `RateLimited` if there is no room for another job, row or byte."""
        if self.ledgers and not self._own[0]:
            self._add(1, 0, 0)

    def add(self, size_bytes: int, rows: int) -> None:
        """Add a chunk. Raises `RateLimited`, or `BatchTooLarge` if this batch alone is over a limit."""
        if self.ledgers:
            self._add(0, size_bytes, rows)

    def settle(self, pipeline: Pipeline) -> None:
        """Queue on `pipeline` that the job counts by its record from now on."""
        self._is_settled = True
        for ledger in self.ledgers:
            pipeline.zadd(ledger.due, {self.job_id: 0})

    def give_back(self) -> None:
        """Let the next look remove the job, unless it is settled: it has no record. Raises nothing."""
        if self._own[0] and not self._is_settled:
            pipeline = self._limits.redis.pipeline(transaction=False)
            for ledger in self.ledgers:
                pipeline.zadd(ledger.due, {self.job_id: 0})
            with suppress(RedisError):  # then it counts for 10 minutes
                pipeline.execute()

    def _add(self, *add: int) -> None:
        own = [held + more for held, more in zip(self._own, add, strict=True)]
        for ledger in self.ledgers:
            for total, most, held in zip(OWN_TOTALS, ledger.quotas, own, strict=True):
                if most and held > most:
                    name = f"{ledger.owner}-{NAMES[total]}"
                    raise BatchTooLarge(f"The batch alone is over the limit {name}: {most} {KINDS[total]}.")
        self.limits = self._limits.change(self.job_id, self.ledgers, add)
        self._own = own


class JobLimits:
    """The ledgers in one Redis server. Thread-safe. Methods raise `redis.RedisError`."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self.redis = redis
        # As long as the index of a tenant's jobs.
        self._ledger_ttl_s = 2 * settings.job_retention_s + DRAFT_S
        self._tenant_limits = settings.tenant_limits
        self._add = redis.register_script(_ADD)

    @contextmanager
    def reserved(self, key_id: str, key_limits: Limits, tenant: str | None) -> Iterator[Reservation]:
        """A reservation for a new job of a key and tenant. An error within the context gives it back."""
        ledgers = [Ledger("key", f"key:{key_id}", key_limits)]
        ledgers.append(Ledger("tenant", f"tenant:{tenant or ''}", self._tenant_limits))
        reservation = Reservation(self, [ledger for ledger in ledgers if any(ledger.quotas)])
        try:
            yield reservation
        except BaseException:
            reservation.give_back()
            raise

    def change(self, job_id: str, ledgers: Sequence[Ledger], add: Sequence[int]) -> list[LimitState]:
        """Add jobs, bytes and rows to the ledgers, or to none. Returns the states of their limits.

        Raises `RateLimited` if a limit is reached.
        """
        horizon = "0"
        for _ in range(MOST_LOOKS):
            more, now, over, which, *totals = self._run(job_id, ledgers, add, horizon)
            if not over or (horizon != "0" and not more):
                break
            # Jobs may have ended since they were looked at: look at all open ones before refusing.
            horizon = str(float(now) + LOOK_EVERY_S) if horizon == "0" else horizon
        found = [int(total) for total in totals]
        states = [
            LimitState(f"{ledger.owner}-{NAMES[total]}", most, max(0, most - held))
            for number, ledger in enumerate(ledgers)
            for total, most, held in zip(OWN_TOTALS, ledger.quotas, found[3 * number :], strict=False)
            if most
        ]
        if over:
            ledger, total = ledgers[int(over) - 1], OWN_TOTALS[int(which) - 1]
            name, most = f"{ledger.owner}-{NAMES[total]}", ledger.quotas[int(which) - 1]
            wait_s = RETRY_BYTES_S if total == "bytes" else RETRY_JOBS_S
            detail = f"The limit {name} is reached: {most} {KINDS[total]}."
            raise RateLimited(detail, limit=name, wait_s=wait_s, limits=states)
        return states

    def _run(self, job_id: str, ledgers: Sequence[Ledger], add: Sequence[int], horizon: str) -> list[Any]:
        keys = [key for ledger in ledgers for key in (ledger.due, ledger.held)]
        quotas = [most for ledger in ledgers for most in ledger.quotas]
        args: list[str | int] = [job_id, *add, horizon, self._ledger_ttl_s, *quotas]
        return cast(list[Any], self._add(keys=keys, args=args))
