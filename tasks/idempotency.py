"""`Idempotency-Key`: a repeated submission finds the job of the first one."""

from __future__ import annotations

from typing import Final, cast

from redis import Redis
from redis.client import Pipeline

from errors import Conflict, StillAccepted
from settings import Settings
from tasks.connection import connect
from tasks.job_keys import JobKeys
from tasks.names import tenant_prefix

# Longer than the largest body takes from its last byte to its last row in Redis.
CLAIM_S: Final = 120


class IdempotencyKeys:
    """Keys of one Redis server, kept as long as jobs. Methods raise `redis.RedisError`."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = connect(settings.redis_url)
        self._retention_s = settings.job_retention_s

    def claim(self, tenant: str | None, key: str, asked: str, job_id: str) -> str | None:
        """Claim a key for what is asked, which will be `job_id`; the job of an earlier request, if any.

        Raises `Conflict` when the key came with something else, and `StillAccepted` while its first request
        is being accepted. A claim that is not settled lapses, for its web process may have died.
        """
        name = _name(tenant, key)
        if self._redis.set(name, f"{job_id}:{asked}", nx=True, ex=CLAIM_S):
            return None
        held_id, _, held_asked = cast(bytes, self._redis.get(name) or b":").decode().partition(":")
        if held_asked != asked:
            raise Conflict("This Idempotency-Key was used with another request.")
        if not self._redis.exists(JobKeys(held_id).record):
            raise StillAccepted("The first request with this Idempotency-Key is still being accepted.")
        return held_id

    def settle(self, pipeline: Pipeline, tenant: str | None, key: str) -> None:
        """Queue on `pipeline` that a claimed key is kept as long as its job."""
        pipeline.expire(_name(tenant, key), self._retention_s)

    def give_back(self, tenant: str | None, key: str) -> None:
        """Nothing was accepted: the key may be used again."""
        self._redis.delete(_name(tenant, key))


def _name(tenant: str | None, key: str) -> str:
    return f"{tenant_prefix(tenant)}idempotency:{key}"
