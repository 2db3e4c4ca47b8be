"""`Idempotency-Key`: a repeated submission finds the job of the first one."""

from __future__ import annotations

from typing import cast

from redis import Redis

from errors import Conflict
from settings import Settings
from tasks.connection import connect
from tasks.names import tenant_prefix


class IdempotencyKeys:
    """Keys of one Redis server, kept as long as jobs. Methods raise `redis.RedisError`."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = connect(settings.redis_url)
        self._retention_s = settings.job_retention_s

    def claim(self, tenant: str | None, key: str, body_hash: str) -> str | None:
        """Claim a key for a body; the job id of an earlier request with both, if there is one.

        Raises `Conflict` when the key came with another body, or its first request is still being accepted.
        """
        name = _name(tenant, key)
        if self._redis.set(name, f"{body_hash}:", nx=True, ex=self._retention_s):
            return None
        held_hash, _, job_id = cast(bytes, self._redis.get(name) or b":").decode().partition(":")
        if held_hash != body_hash:
            raise Conflict("This Idempotency-Key was used with another request.")
        if not job_id:
            raise Conflict("The first request with this Idempotency-Key is still being accepted.")
        return job_id

    def settle(self, tenant: str | None, key: str, body_hash: str, job_id: str | None) -> None:
        """Bind a claimed key to its job, or give it back when there is none."""
        if job_id is None:
            self._redis.delete(_name(tenant, key))
        else:
            self._redis.set(_name(tenant, key), f"{body_hash}:{job_id}", ex=self._retention_s)


def _name(tenant: str | None, key: str) -> str:
    return f"{tenant_prefix(tenant)}idempotency:{key}"
