"""`Idempotency-Key`: map a repeated submission to the job of the first one."""

from __future__ import annotations

from typing import Final, cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError, TimeoutError

from errors import Conflict, StillAccepted
from settings import Settings
from tasks.jobs.job_keys import JobKeys
from tasks.storage.redis_connection import connect, tenant_prefix

# Longer than a web process needs between two stored chunks. The claim of a dead process expires.
CLAIM_S: Final = 15

# A settled key keeps its longer life, so that a late renewal does not let a second job be accepted.
_RENEW = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
if redis.call('PTTL', KEYS[1]) < 1000 * ARGV[2] then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
return 1
"""
_GIVE_BACK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class IdempotencyKeys:
    """Keys in one Redis server, kept as long as jobs. Methods raise `redis.RedisError`."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = connect(settings.redis_url)
        self._retention_s = settings.job_retention_s
        self._renew = self._redis.register_script(_RENEW)
        self._give_back = self._redis.register_script(_GIVE_BACK)

    def is_used(self, tenant: str | None, key: str) -> bool:
        """Whether a request with this key has been accepted, or is being accepted."""
        return bool(self._redis.exists(_name(tenant, key)))

    def claim(self, tenant: str | None, key: str, asked: str, job_id: str) -> Claim | str:
        """Claim a key for a request (`asked` identifies its content), or return the job id of an earlier one.

        Raises `Conflict` if the key was used with another request. Raises `StillAccepted` while the first
        request with it is being accepted.
        """
        name = _name(tenant, key)
        claim = Claim(self, name, f"{job_id}:{asked}")
        try:
            is_claimed = bool(self._redis.set(name, claim.value, nx=True, ex=CLAIM_S))
        except (ConnectionError, TimeoutError):
            # Only the reply may be lost. Nobody else would give back the key then.
            if self._redis.get(name) != claim.value.encode():
                raise
            is_claimed = True
        if is_claimed:
            return claim
        held = cast(bytes | None, self._redis.get(name))
        held_id, _, held_asked = (held or b"").decode().partition(":")
        if held and held_asked != asked:
            raise Conflict("This Idempotency-Key was used with another request.")
        if not held or not self._redis.exists(JobKeys(held_id).record):
            raise StillAccepted("The first request with this Idempotency-Key is still being accepted.")
        return held_id


def _name(tenant: str | None, key: str) -> str:
    return f"{tenant_prefix(tenant)}idempotency:{key}"


class Claim:
    """A claimed key, held while its job is being stored. Methods raise `redis.RedisError`."""

    def __init__(self, keys: IdempotencyKeys, name: str, value: str) -> None:
        self._keys = keys
        self._name = name
        self.value = value

    def renew(self) -> None:
        """Extend the claim. Raises `StillAccepted` if it has expired and another request holds the key."""
        if not self._keys._renew(keys=[self._name], args=[self.value, CLAIM_S]):
            raise StillAccepted("Another request with this Idempotency-Key is being accepted.")

    def settle(self, pipeline: Pipeline) -> None:
        """Queue on `pipeline` that the key is kept as long as its job."""
        pipeline.set(self._name, self.value, ex=self._keys._retention_s)

    def give_back(self) -> None:
        """Release the key after a failed submission, so that it can be used again."""
        self._keys._give_back(keys=[self._name], args=[self.value])
