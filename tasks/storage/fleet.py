"""The store of newest verdicts: the fleet by risk, and each charger's verdicts over time.

It is separate from the cache. Nothing is evicted within `ML_FLEET_RETENTION_DAYS`, and a new model version
changes nothing. Each tenant has a sorted set of chargers by 30-day probability. Each charger has a hash with
its newest verdict, and a sorted set of past verdicts by reading time, of bounded size.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

import orjson
from redis import Redis

from errors import UnknownCharger
from settings import Settings
from tasks.storage.redis_connection import Command, connect, for_each, tenant_prefix

DAY_S: Final = 86_400
HISTORY_FIELDS: Final = (
    "reading_timestamp",
    "failure_probability",
    "horizons",
    "recommended_action",
    "in_failure",
    "confidence",
    "model_version",
)

# Keys live longer than the retention by this share, so that few writes must extend their TTL.
SLACK: Final = 0.01

# The history keeps one entry per verdict; the other keys keep the newest verdict only. Entries older than the
# retention are removed when the TTL is extended.
_STORE = """
local call = redis.call
local retention, longer, oldest, surplus = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), -(ARGV[4] + 1)
for i = 0, #KEYS / 3 - 1 do
  local newest, risk, history = KEYS[3 * i + 1], KEYS[3 * i + 2], KEYS[3 * i + 3]
  local at, probability, charger = ARGV[5 * i + 5], ARGV[5 * i + 6], ARGV[5 * i + 7]
  local body, past = ARGV[5 * i + 8], ARGV[5 * i + 9]
  local moment = tonumber(at)
  if moment > oldest then
    call('ZADD', history, at, past)
    local left = call('TTL', history)
    if left >= 0 then call('ZREMRANGEBYRANK', history, 0, surplus) end
    if left <= retention then
      if left >= 0 then call('ZREMRANGEBYSCORE', history, '-inf', ARGV[3]) end
      call('EXPIRE', history, longer)
    end
  end
  local held = call('HGET', newest, 'at')
  if not held or tonumber(held) <= moment then
    call('HSET', newest, 'at', at, 'body', body)
    if not held or call('TTL', newest) <= retention then call('EXPIRE', newest, longer) end
    call('ZADD', risk, probability, charger)
  end
end
"""


class FleetStore:
    """Verdicts in one Redis server. Reading methods raise `redis.RedisError` if it is unreachable."""

    def __init__(self, settings: Settings, redis: Redis | None = None) -> None:
        self._redis: Redis = redis or connect(settings.redis_url)
        self._retention_s = settings.fleet_retention_days * DAY_S
        self._history_entries = settings.fleet_history_entries

    def to_store(self, verdicts: Sequence[tuple[str | None, dict[str, Any], bytes]]) -> list[Command]:
        """The commands that store failure predictions, each `(tenant, verdict, verdict as JSON)`."""
        return for_each(
            _STORE,
            [
                self._retention_s,
                int(self._retention_s * (1 + SLACK)),
                time.time() - self._retention_s,
                self._history_entries,
            ],
            [
                (
                    [
                        verdict_key(tenant, verdict["charger_id"]),
                        risk_key(tenant),
                        history_key(tenant, verdict["charger_id"]),
                    ],
                    [
                        datetime.fromisoformat(verdict["reading_timestamp"]).timestamp(),
                        verdict["failure_probability"],
                        verdict["charger_id"],
                        body,
                        orjson.dumps({name: verdict[name] for name in HISTORY_FIELDS}),
                    ],
                )
                for tenant, verdict, body in verdicts
            ],
        )

    def by_risk(self, tenant: str | None, *, offset: int, limit: int) -> tuple[list[bytes], int]:
        """A page of newest verdicts as JSON, highest 30-day probability first, and the number of chargers.

        Chargers whose verdict has expired are removed from the set. Others then move up into the page, so the
        next page begins where this one ends.
        """
        risk = risk_key(tenant)
        while True:
            members = cast(list[bytes], self._redis.zrevrange(risk, offset, offset + limit - 1))
            pipeline = self._redis.pipeline(transaction=False)
            for member in members:
                pipeline.hget(verdict_key(tenant, member.decode()), "body")
            bodies = cast(list[bytes | None], pipeline.execute())
            gone = [member for member, body in zip(members, bodies, strict=True) if body is None]
            if not gone:
                return [body for body in bodies if body is not None], self._redis.zcard(risk)
            self._redis.zrem(risk, *gone)

    def history(
        self, tenant: str | None, charger_id: str, *, offset: int, limit: int
    ) -> tuple[list[bytes], int]:
        """A page of a charger's past verdicts as JSON, newest reading first, and their total number.

        Raises `UnknownCharger`.
        """
        key = history_key(tenant, charger_id)
        total = self._redis.zcard(key)
        if total == 0:
            raise UnknownCharger(f"No verdict of charger {charger_id} is stored.")
        return cast(list[bytes], self._redis.zrevrange(key, offset, offset + limit - 1)), total

    def newest_before(
        self, tenant: str | None, charger_id: str, moment: float, *, not_before: float
    ) -> dict[str, Any] | None:
        """The verdict of the newest reading between `not_before` and `moment` (epoch seconds), or None.

        `moment` itself is excluded.
        """
        found = self._redis.zrange(
            history_key(tenant, charger_id),
            f"({moment}",
            not_before,
            byscore=True,
            desc=True,
            offset=0,
            num=1,
        )
        return cast(dict[str, Any], orjson.loads(cast(bytes, found[0]))) if found else None


def risk_key(tenant: str | None) -> str:
    """Key of a tenant's chargers by probability."""
    return f"{tenant_prefix(tenant)}fleet:risk"


def verdict_key(tenant: str | None, charger_id: str) -> str:
    """Key of a charger's newest verdict."""
    return f"{tenant_prefix(tenant)}fleet:verdict:{charger_id}"


def history_key(tenant: str | None, charger_id: str) -> str:
    """Key of a charger's past verdicts."""
    return f"{tenant_prefix(tenant)}fleet:history:{charger_id}"
