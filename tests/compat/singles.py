"""Callers of single predictions. Each call is answered alike by both releases."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from tests.compat.faults import Book
from tests.compat.fleet import Rotation, Web
from tests.verdicts import unlike

KINDS: Final = ("failure", "maintenance", "anomaly")
TENANTS: Final = (None, "acme")
# These differ from answer to answer.
VOLATILE: Final = frozenset({"timestamp", "cached", "fingerprint", "charger_id", "tenant_id"})
COSTS: Final = {"costs": {"visit": 90.0, "downtime_per_hour": 31.5, "currency": "EUR"}}
PAUSE_S: Final = 0.1
REPEATED: Final = 0.3
REMEMBERED: Final = 0.3
CHARGERS: Final = 4  # of each caller, with a history
STEP: Final = timedelta(hours=1)

_numbers = itertools.count()


def _metrics() -> list[dict[str, Any]]:
    """Readings of all sorts, each of the same moment for the whole run."""
    moment = (datetime.now(UTC) - timedelta(days=3)).replace(microsecond=0)
    statuses = ("CHARGING", "AVAILABLE", "FAULTY", "Faulted", "SuspendedEV", "OFFLINE")
    made: list[dict[str, Any]] = []
    for number in range(24):
        reading: dict[str, Any] = {
            "connector_status": statuses[number % len(statuses)],
            "temperature": 15.0 + 3 * number,
            "power": 11.0 * (number % 5),
            "energy_delivered": 1.5 * number,
            "total_sessions": 400 * number,
            "error_codes": (["HighTemperature"], ["GroundFailure", "E-1101"], [])[number % 3],
            "timestamp": (moment + timedelta(minutes=number)).isoformat(),
        }
        if number % 4 == 0:
            reading["metadata"] = COSTS
        if number % 4 == 1:
            reading |= {"metadata": {"site": {"floor": number}}, "firmware": "1.2"}
        if number % 5 == 0:
            reading = {name: reading[name] for name in ("connector_status", "timestamp")}
        made.append(reading)
    return made


READINGS: Final = _metrics()


def predict(web: Web, kind: str, charger_id: str, metrics: dict[str, Any], tenant: str | None) -> Any:
    """The verdict. Raises `AssertionError` for any answer but 200."""
    body = {"charger_id": charger_id, "metrics": {"charger_id": charger_id, **metrics}}
    answer = web.client.post(f"/api/v1/predictions/{kind}", json=body, headers=headers(tenant))
    assert answer.status_code == 200, f"{web.release} web: {answer.status_code} {answer.text}"
    verdict: dict[str, Any] = answer.json()
    assert verdict["charger_id"] == charger_id
    assert verdict["tenant_id"] == tenant
    return verdict


def headers(tenant: str | None) -> dict[str, str]:
    return {} if tenant is None else {"X-Tenant-ID": tenant}


def plain(verdict: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in verdict.items() if name not in VOLATILE}


class Reference:
    """The verdicts of the old release alone: all others must say the same, and may say more."""

    def __init__(self, web: Web) -> None:
        self._verdicts = {
            (kind, number): plain(predict(web, kind, f"REF-{kind}-{number}", metrics, None))
            for kind in KINDS
            for number, metrics in enumerate(READINGS)
        }

    def compare(self, kind: str, number: int, verdict: dict[str, Any]) -> None:
        difference = unlike(self._verdicts[kind, number], plain(verdict), more_fields=True)
        assert difference is None, f"{kind} of reading {number}: {difference}"


class Histories:
    """Chargers with a reading an hour, and which of them have been answered. Safe to share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered: dict[tuple[str | None, str], list[str]] = {}
        self._start = (datetime.now(UTC) - timedelta(days=25)).replace(minute=0, second=0, microsecond=0)

    def next(self, tenant: str | None, charger_id: str) -> dict[str, Any]:
        with self._lock:
            past = len(self._answered.get((tenant, charger_id), ()))
        status = "FAULTY" if past % 7 == 6 else "CHARGING"
        at = self._start + past * STEP
        return {"connector_status": status, "temperature": 30.0 + past % 40, "timestamp": at.isoformat()}

    def add(self, tenant: str | None, charger_id: str, verdict: dict[str, Any]) -> None:
        with self._lock:
            self._answered.setdefault((tenant, charger_id), []).append(verdict["reading_timestamp"])

    def all(self) -> dict[tuple[str | None, str], list[str]]:
        """What was answered so far, oldest first."""
        with self._lock:
            return {key: list(times) for key, times in self._answered.items()}


class Caller:
    """One thread's calls, one after another, at whichever web process is in rotation."""

    def __init__(
        self, number: int, rotation: Rotation, book: Book, reference: Reference, histories: Histories
    ) -> None:
        self._number = number
        self._rotation = rotation
        self._book = book
        self._reference = reference
        self._histories = histories
        self._chance = random.Random(number)

    def run(self, over: threading.Event) -> None:
        """Until `over`. Faults are noted, and calls go on."""
        while not over.wait(PAUSE_S):
            call = self._remembered if self._chance.random() < REMEMBERED else self._fresh
            try:
                call()
            except (AssertionError, httpx.HTTPError) as error:
                self._book.fault(f"single prediction: {type(error).__name__}: {error}")

    def _fresh(self) -> None:
        """A charger that nobody knows, perhaps asked for once more: from the cache, or scored again."""
        kind, number = self._chance.choice(KINDS), self._chance.randrange(len(READINGS))
        tenant, charger_id = self._chance.choice(TENANTS), f"S-{next(_numbers)}"
        for _ in range(1 + (self._chance.random() < REPEATED)):
            verdict = self._ask(kind, charger_id, READINGS[number], tenant)
            self._reference.compare(kind, number, verdict)

    def _remembered(self) -> None:
        tenant = self._chance.choice(TENANTS)
        charger_id = f"H-{self._number}-{self._chance.randrange(CHARGERS)}"
        metrics = self._histories.next(tenant, charger_id)
        self._histories.add(tenant, charger_id, self._ask("failure", charger_id, metrics, tenant))

    def _ask(self, kind: str, charger_id: str, metrics: dict[str, Any], tenant: str | None) -> dict[str, Any]:
        with self._rotation.one(self._chance) as web:
            verdict: dict[str, Any] = predict(web, kind, charger_id, metrics, tenant)
        self._book.count("singles")
        if verdict["cached"]:
            self._book.count("cache hits")
        return verdict


def keep_asking_whether_ready(rotation: Rotation, book: Book) -> Callable[[threading.Event], None]:
    """Every web process in rotation must be able to serve, all the time."""
    chance = random.Random(0)

    def run(over: threading.Event) -> None:
        while not over.wait(PAUSE_S):
            with rotation.one(chance) as web:
                for path in ("/health", "/health/ready"):
                    try:
                        answer = web.client.get(path)
                    except httpx.HTTPError as error:
                        book.fault(f"{web.release} web: GET {path}: {error!r}")
                        continue
                    book.count("health checks")
                    if answer.status_code != 200:
                        book.fault(f"{web.release} web: GET {path}: {answer.status_code} {answer.text}")

    return run
