"""The API keys that count now: those of the settings, and those in Redis, read every two seconds.

Requests look a key up in memory. While Redis is away, the keys read last go on counting until they expire.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from redis import RedisError

from settings import NO_LIMITS, Limits, Settings
from tasks.storage.api_keys import KeyStore, StoredKey, digest_of

log = logging.getLogger(__name__)

# A change counts everywhere within 5 s, by contract.
LOOK_EVERY_S: Final = 2.0
# The id of all keys of the settings.
OF_SETTINGS: Final = "settings"


@dataclass(frozen=True, slots=True)
class Key:
    """The rights and limits of a key. `tenants` None is all tenants; `expires_at` is in epoch seconds."""

    key_id: str
    name: str
    roles: frozenset[str]
    tenants: frozenset[str] | None = None
    expires_at: float | None = None
    limits: Limits = NO_LIMITS


class Caller(NamedTuple):
    """The key of a request, and the tenant that it acts for."""

    key: Key
    tenant: str | None


class KeyRing:
    """The keys of one process. Thread-safe."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._own = {
            digest_of(entry.key): Key(OF_SETTINGS, "ML_SERVICE_API_KEY", entry.roles)
            for entry in settings.api_keys
        }
        self._keys = self._own
        self._clock = clock
        self._stopped = threading.Event()

    def follow(self, store: KeyStore) -> None:
        """Read the keys of Redis in a thread, from now on. Does not block."""
        threading.Thread(target=self._run, args=(store,), name="api keys", daemon=True).start()

    def close(self) -> None:
        """Stop the thread. Does not block."""
        self._stopped.set()

    def find(self, presented: str) -> Key | None:
        """The key with this text, or None if it is unknown or has expired.

        It is found by its SHA-256, so that the time of the look-up tells nothing about other keys.
        """
        return self.find_digest(digest_of(presented))

    def find_digest(self, digest: str) -> Key | None:
        """The key with this SHA-256, or None if it is unknown or has expired."""
        key = self._keys.get(digest)
        if key is not None and key.expires_at is not None and key.expires_at <= self._clock():
            return None
        return key

    def take(self, stored: list[StoredKey]) -> None:
        """Replace the keys of Redis. A key of the settings stays as the settings say."""
        found = {
            key.digest: Key(
                key.key_id,
                key.name,
                frozenset(key.roles),
                None if key.tenants is None else frozenset(key.tenants),
                key.expires_at,
                key.limits,
            )
            for key in stored
        }
        self._keys = found | self._own

    def _run(self, store: KeyStore) -> None:
        while True:
            try:
                self.take(store.all())
            except RedisError as error:
                log.debug("keys are as read last: %s", error)
            except Exception:
                log.exception("keys could not be read")
            if self._stopped.wait(LOOK_EVERY_S):
                return
