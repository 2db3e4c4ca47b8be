"""API keys in Redis, for all hosts. Only their SHA-256 is stored: a key is shown once, when it is made."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, NamedTuple, cast

import orjson
from redis import Redis
from redis.client import Pipeline

from settings import NO_LIMITS, Limits

KEYS_KEY: Final = "ml:api_keys"
# Visible in each key, so that people and scanners for secrets recognise one.
PREFIX: Final = "evz"
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key's rights. Times are epoch seconds; `expires_at` None is never.

    `key_id` is part of the key and no secret. `tenants` None is all tenants, and requests without one.
    """

    key_id: str
    name: str
    digest: str
    roles: tuple[str, ...]
    tenants: tuple[str, ...] | None
    created_at: float
    expires_at: float | None = None
    limits: Limits = NO_LIMITS

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> StoredKey:
        """The key of a stored record. Fields of newer releases are ignored.

        Raises `KeyError`, `TypeError` or `ValueError` for a record that is none.
        """
        known = {each.name: record[each.name] for each in fields(cls) if each.name in record}
        tenants = known.get("tenants")
        return cls(
            **known
            | {
                "roles": tuple(map(str, known["roles"])),
                "tenants": None if tenants is None else tuple(map(str, tenants)),
                "limits": _limits(known.get("limits") or {}),
            }
        )


def _limits(record: Mapping[str, Any]) -> Limits:
    return Limits(**{each.name: int(record[each.name]) for each in fields(Limits) if each.name in record})


def digest_of(key: str) -> str:
    """The SHA-256 of a key. Without salt: 32 random bytes cannot be guessed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class Withdrawn(NamedTuple):
    """The keys of a tenant that was erased: how many were revoked, and how many act for others only now.

    `asking_kept` tells whether the key that asked acted for the tenant, and so was kept.
    """

    revoked: int
    narrowed: int
    asking_kept: bool


class KeyStore:
    """The keys of one Redis server. Methods block for one command, and raise `redis.RedisError`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def create(
        self,
        name: str,
        roles: tuple[str, ...],
        tenants: tuple[str, ...] | None,
        *,
        expires_at: float | None = None,
        limits: Limits = NO_LIMITS,
    ) -> str:
        """Make a key, and return it. It cannot be read again."""
        key_id = secrets.token_hex(4)
        key = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        self._write(StoredKey(key_id, name, digest_of(key), roles, tenants, time.time(), expires_at, limits))
        return key

    def all(self) -> list[StoredKey]:
        """Every key, expired ones too, the oldest first. Records that cannot be read are left out."""
        return _keys(self._redis)

    def revoke(self, key_id: str) -> bool:
        """Delete a key. Returns whether it was there."""
        return bool(self._redis.hdel(KEYS_KEY, key_id))

    def rotate(self, key_id: str, *, old_until: float) -> str | None:
        """Make a key with the rights and limits of another, which ends at `old_until` (epoch seconds).

        Returns None if the other is not there.
        """
        old = next((key for key in self.all() if key.key_id == key_id), None)
        if old is None:
            return None
        new = self.create(old.name, old.roles, old.tenants, expires_at=old.expires_at, limits=old.limits)
        ends = old_until if old.expires_at is None else min(old_until, old.expires_at)
        self._write(replace(old, expires_at=ends))
        return new

    def withdraw(self, tenant: str, *, asked_by: str, until: float) -> Withdrawn:
        """End the rights to act for a tenant. Keys for all tenants stay.

        A key for this tenant alone is deleted. A key for several loses this one. The key `asked_by` must read
        the receipt: it ends at `until` (epoch seconds), or stays as it is if it acts for other tenants too.
        """

        def withdraw_once(pipeline: Pipeline) -> Withdrawn:
            found = [key for key in _keys(pipeline) if key.tenants is not None and tenant in key.tenants]
            sole = [key for key in found if key.tenants == (tenant,)]
            asking = [key for key in found if key.key_id == asked_by]
            revoked = [key for key in sole if key not in asking]
            narrowed = [key for key in found if key not in (*sole, *asking)]
            pipeline.multi()
            for key in revoked:
                pipeline.hdel(KEYS_KEY, key.key_id)
            changed = [replace(key, tenants=_without(key, tenant)) for key in narrowed]
            changed += [
                replace(key, expires_at=min(until, key.expires_at or until)) for key in asking if key in sole
            ]
            for key in changed:
                pipeline.hset(KEYS_KEY, key.key_id, cast(Any, orjson.dumps(asdict(key))))
            return Withdrawn(len(revoked), len(narrowed), bool(asking))

        return cast(
            Withdrawn,
            self._redis.transaction(cast(Any, withdraw_once), KEYS_KEY, value_from_callable=True),
        )

    def _write(self, key: StoredKey) -> None:
        self._redis.hset(KEYS_KEY, key.key_id, cast(Any, orjson.dumps(asdict(key))))


def _keys(redis: Redis) -> list[StoredKey]:
    found = []
    for raw in cast(dict[bytes, bytes], redis.hgetall(KEYS_KEY)).values():
        try:
            found.append(StoredKey.of_record(orjson.loads(raw)))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return sorted(found, key=lambda key: (key.created_at, key.key_id))


def _without(key: StoredKey, tenant: str) -> tuple[str, ...]:
    return tuple(each for each in key.tenants or () if each != tenant)
