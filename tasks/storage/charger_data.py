"""The stored data of one charger, over all stores except jobs: whether there is any, and its erasure."""

from __future__ import annotations

from typing import Final

from redis import Redis

from tasks.storage.fleet import history_key, risk_key, verdict_key
from tasks.storage.outcomes import OutcomeStore
from tasks.storage.reading_history import readings_key
from tasks.storage.verdict_cache import VerdictCache

# The kinds of data, as counted in a receipt.
STORES: Final = ("cache", "fleet", "history", "outcomes")


class ChargerData:
    """The data of chargers in the cache and in the main Redis. Methods raise `redis.RedisError`."""

    def __init__(self, redis: Redis, cache: VerdictCache, outcomes: OutcomeStore) -> None:
        self._redis = redis
        self._cache = cache
        self._outcomes = outcomes

    def exists(self, tenant: str | None, charger_id: str) -> bool:
        """Whether a verdict, a reading or an outcome of the charger is stored for the tenant."""
        keys = (
            verdict_key(tenant, charger_id),
            history_key(tenant, charger_id),
            readings_key(tenant, charger_id),
        )
        if self._redis.exists(*keys) or self._cache.holds(charger_id, tenant):
            return True
        # Verdicts expire after a month, and a repair may take longer.
        return self._outcomes.page(tenant, charger_id, offset=0, limit=1)[1] > 0

    def erase(self, tenant: str | None, charger_id: str) -> dict[str, int]:
        """Delete the data of a charger. Returns the number of deleted items by store (`STORES`)."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zcard(history_key(tenant, charger_id))
            pipeline.hlen(readings_key(tenant, charger_id))
            pipeline.unlink(verdict_key(tenant, charger_id))
            pipeline.unlink(history_key(tenant, charger_id), readings_key(tenant, charger_id))
            pipeline.zrem(risk_key(tenant), charger_id)
            past, readings, newest, _, _ = pipeline.execute()
        cached = self._cache.delete(charger_id, tenant)
        outcomes = self._outcomes.erase(tenant, charger_id)
        return dict(zip(STORES, (cached, past + newest, readings, outcomes), strict=True))
