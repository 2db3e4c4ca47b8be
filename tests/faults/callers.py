"""Tenants with their own API keys, and readings of their chargers, of which no two are equal."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from readings.parsing import parse_reading
from readings.reading import rfc3339
from tests.processes import KEY, READ_KEY
from tests.readings import metrics

# API keys by tenant. Chargers of all tenants have the same ids, so that a confusion would show.
TENANTS: Final = {"north": "test-key-of-north", "south": "test-key-of-south", "west": "test-key-of-west"}
CHARGERS: Final = 40
# For the settings of a service that has these callers.
API_KEYS: Final = ",".join([KEY, f"{READ_KEY}:read", *(f"{key}:predict" for key in TENANTS.values())])
OLDER_SHARE: Final = 0.2
OLDER_BY_S: Final = 30.0
FAULTY_SHARE: Final = 0.02
SPAN_S: Final = 600.0
REMEMBERED: Final = 512


@dataclass(frozen=True, slots=True)
class Sent:
    """A reading as a caller sends it, and as the history names it."""

    body: dict[str, Any]
    tenant: str
    charger: str
    timestamp: str
    fingerprint: str

    @property
    def named(self) -> list[str]:
        """The reading in the history."""
        return [self.tenant, self.charger, self.timestamp, self.fingerprint]


class Chargers:
    """Makes readings. No two of a charger have the same timestamp. Thread-safe.

    The state of a charger lasts for `SPAN_S`. With another state in each reading, alerts would open and close
    by the thousands, and their records would grow for as long as they are kept.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._chance = random.Random(seed)
        self._stamps: dict[tuple[str, str], deque[int]] = {}
        self._sessions = 0
        self._lock = threading.Lock()

    def tenant(self) -> str:
        """A tenant at random."""
        with self._lock:
            return self._chance.choice(list(TENANTS))

    def reading(self, tenant: str) -> Sent:
        """A reading of a charger at random. One in five is older than one before."""
        with self._lock:
            charger = f"EVZ-{self._chance.randrange(CHARGERS):03d}"
            at = datetime.fromtimestamp(self._stamp((tenant, charger)) / 1000, UTC)
            state = random.Random(f"{self._seed} {tenant} {charger} {at.timestamp() // SPAN_S}")
            self._sessions += 1
            body = metrics(
                charger,
                connector_status="FAULTY" if state.random() < FAULTY_SHARE else "CHARGING",
                temperature=state.randrange(200, 700) / 10,
                power=state.randrange(0, 1500) / 10,
                total_sessions=self._sessions,
                timestamp=rfc3339(at),
            )
        fingerprint = parse_reading(body, now=datetime.now(UTC)).fingerprint()
        return Sent(body, tenant, charger, body["timestamp"], fingerprint)

    def _stamp(self, key: tuple[str, str]) -> int:
        """Milliseconds since 1970 that no reading of the charger has."""
        taken = self._stamps.setdefault(key, deque(maxlen=REMEMBERED))
        stamp = round(time.time() * 1000)
        if self._chance.random() < OLDER_SHARE:
            stamp -= round(self._chance.uniform(0, OLDER_BY_S) * 1000)
        while stamp in taken:
            stamp -= 1
        taken.append(stamp)
        return stamp


def said_by(answer: dict[str, Any]) -> list[Any]:
    """The reading that a verdict names, as in the history."""
    return [answer[name] for name in ("tenant_id", "charger_id", "reading_timestamp", "fingerprint")]
