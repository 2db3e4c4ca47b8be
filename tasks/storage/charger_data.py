"""The stored data of one charger, over all stores except jobs: whether there is any, and its erasure."""

from __future__ import annotations

from typing import Final

from redis import Redis

from tasks.storage.alert_records import AlertRecords
from tasks.storage.charger_attributes import AttributeStore
from tasks.storage.dead_letter_looks import DeadLetterLooks
from tasks.storage.fleet import changed_key, erasures_key, newest_key, past_key, rows_key
from tasks.storage.fleet_rows import ChargerHistory
from tasks.storage.outcomes import OutcomeStore
from tasks.storage.reading_history import readings_key
from tasks.storage.redis_connection import tenant_prefix
from tasks.storage.verdict_cache import VerdictCache

# The kinds of data, as counted in a receipt.
STORES: Final = ("cache", "fleet", "history", "outcomes", "attributes", "alerts")
# Longer than any copy of the rows lives in a web process.
ERASURES_TTL_S: Final = 7 * 86_400


class ChargerData:
    """The data of chargers in the cache and in the main Redis. Methods raise `redis.RedisError`."""

    def __init__(
        self,
        redis: Redis,
        cache: VerdictCache,
        outcomes: OutcomeStore,
        attributes: AttributeStore,
        alerts: AlertRecords,
    ) -> None:
        self._redis = redis
        self._attributes = attributes
        self._alerts = alerts
        self._cache = cache
        self._outcomes = outcomes

    def exists(self, tenant: str | None, charger_id: str) -> bool:
        """Whether a verdict, a reading, an outcome or attributes of the charger are stored for the tenant."""
        keys = (
            newest_key(tenant, charger_id),
            past_key(tenant, charger_id),
            readings_key(tenant, charger_id),
        )
        if self._redis.exists(*keys) or self._cache.holds(charger_id, tenant):
            return True
        if self._attributes.get(tenant, charger_id) is not None:
            return True
        # Verdicts expire after a month, and a repair may take longer.
        return self._outcomes.page(tenant, charger_id, offset=0, limit=1)[1] > 0

    def erase(self, tenant: str | None, charger_id: str) -> dict[str, int]:
        """Delete the data of a charger. Returns the number of deleted items by store (`STORES`)."""
        # Before the count of erasures changes: copies of the fleet that are loaded again lack them then.
        attributes = self._attributes.erase(tenant, charger_id)
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(past_key(tenant, charger_id))
            pipeline.hlen(readings_key(tenant, charger_id))
            pipeline.unlink(newest_key(tenant, charger_id))
            pipeline.unlink(past_key(tenant, charger_id), readings_key(tenant, charger_id))
            pipeline.zrem(changed_key(tenant), charger_id)
            pipeline.hdel(rows_key(tenant), charger_id)
            pipeline.incr(erasures_key(tenant))
            pipeline.expire(erasures_key(tenant), ERASURES_TTL_S)
            # The keys of release N-1 live up to a month longer. An erasure must not leave them.
            pipeline.unlink(*(f"{former}{charger_id}" for former in _former(tenant)))
            pipeline.zrem(f"{tenant_prefix(tenant)}fleet:risk", charger_id)
            held, readings, newest, *_ = pipeline.execute()
        past = len({at_ms for at_ms, _, _ in ChargerHistory.of(held, after_ms=-1).verdicts})
        cached = self._cache.delete(charger_id, tenant)
        outcomes = self._outcomes.erase(tenant, charger_id)
        alerts = self._alerts.erase(tenant, charger_id)
        DeadLetterLooks(self._redis).erase(tenant, charger_id)
        counts = (cached, past + newest, readings, outcomes, attributes, alerts)
        return dict(zip(STORES, counts, strict=True))


def _former(tenant: str | None) -> tuple[str, str]:
    """Prefixes of the keys that the release before this one wrote for a charger."""
    return f"{tenant_prefix(tenant)}fleet:verdict:", f"{tenant_prefix(tenant)}fleet:history:"
