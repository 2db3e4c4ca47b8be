"""Small histories by hand: a good one of every law, and changes to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.faults.checker import Verdict, check
from tests.faults.history import Line

Event = dict[str, Any]
NORTH: Final = "north"
SOUTH: Final = "south"
CHARGER: Final = "EVZ-001"


def reading(second: int, *, tenant: str = NORTH, charger: str = CHARGER) -> list[str]:
    """The reading of a charger at a second, as the history names it."""
    at = f"2026-11-20T08:{second // 60:02d}:{second % 60:02d}.000Z"
    return [tenant, charger, at, f"{tenant}-{charger}-{second}"]


def single(request: str, sent: list[str], **answered: Any) -> list[Event]:
    """A single prediction and its answer."""
    return [
        {"event": "send", "request": request, "url": "http://web", "caller": "key", "reading": sent},
        {
            "event": "answer",
            "request": request,
            "status": 200,
            "echo": request,
            "connection": 1,
            "said": sent,
            "degraded": False,
            "cached": False,
            **answered,
        },
    ]


def unanswered(request: str, sent: list[str], status: int = 0) -> list[Event]:
    """A single prediction without an answer."""
    return single(request, sent, status=status, echo=None, said=None)


def degraded(request: str, sent: list[str]) -> list[Event]:
    """A single prediction with a degraded answer."""
    return single(request, sent, degraded=True, said=[*sent[:3], None])


def record(offset: int | None, sent: list[str], *, partition: int = 0, wrong: bool = False) -> Event:
    """An acknowledged record; not acknowledged without an offset."""
    return {"event": "record", "partition": partition, "offset": offset, "reading": sent, "wrong": wrong}


def outcome(offset: int, said: list[str], *, partition: int = 0, placed: int | None = None) -> Event:
    """A prediction."""
    place = [partition, offset if placed is None else placed]
    found = {"partition": partition, "offset": offset, "placed": place}
    return {"event": "outcome", "kind": "prediction", "said": said, **found}


def dead_letter(offset: int) -> Event:
    """A dead letter."""
    found = {"partition": 0, "offset": offset, "placed": [0, 0]}
    return {"event": "outcome", "kind": "dead_letter", "said": None, **found}


def submit(key: str, rows: list[list[str]], *, tenant: str = NORTH, wrong: bool = False) -> Event:
    """A submission of the rows of these readings."""
    return {
        "event": "submit",
        "tenant": tenant,
        "key": key,
        "rows": [row[1:] for row in rows],
        "wrong": wrong,
    }


def accept(key: str, job: str | None, *, tenant: str = NORTH, status: int = 202) -> Event:
    """The answer to a submission."""
    return {"event": "accept", "tenant": tenant, "key": key, "status": status, "job": job}


def rows(job: str, said: list[list[str]]) -> Event:
    """The results of a job."""
    return {"event": "rows", "job": job, "rows": [[number, *row] for number, row in enumerate(said)]}


def ended(job: str, status: str = "SUCCEEDED") -> Event:
    """The end of a job."""
    return {"event": "ended", "job": job, "status": status, "total": None}


def newest(
    store: str,
    said: list[str] | None,
    *,
    tenant: str = NORTH,
    charger: str = CHARGER,
    look: str | None = None,
) -> Event:
    """A charger's entry at the end, or the answer to a look."""
    found = {"store": store, "tenant": tenant, "charger": charger, "said": said}
    return {"event": "newest", "look": look, **found}


def looks(name: str) -> Event:
    """A look for the charger's entry."""
    return {"event": "look", "look": name, "tenant": NORTH, "charger": CHARGER}


def shown(said: list[str]) -> list[Event]:
    """The same entry in fleet and cache."""
    return [newest(store, said, tenant=said[0], charger=said[1]) for store in ("fleet", "cache")]


RUN: Final[Event] = {"event": "run", "transactions": True}
LOSING: Final[Event] = {"event": "losing"}
LOST: Final[Event] = {"event": "lost"}
SWITCHING: Final[Event] = {"event": "switch", "phase": "begins"}
SWITCHED: Final[Event] = {"event": "switch", "phase": "ends"}
SETTLED: Final[Event] = {"event": "settled"}


def good() -> list[Event]:
    """A history that tries every law and keeps all."""
    job = [reading(3), reading(4)]
    return [
        RUN,
        *single("r1", reading(1)),
        record(0, reading(2)),
        outcome(0, reading(2)),
        record(1, reading(5)),
        outcome(1, reading(5)),
        submit("k", job),
        accept("k", "j1"),
        accept("k", "j1"),
        rows("j1", job),
        ended("j1"),
        {"event": "peek", "tenant": SOUTH, "job": "j1", "status": 404},
        {"event": "jobs", "tenant": NORTH, "jobs": ["j1"]},
        *shown(reading(5)),
        SETTLED,
    ]


def judged(events: list[Event]) -> Verdict:
    """The verdict on events, a second apart."""
    return check(_lines(events))


def _lines(events: list[Event]) -> Iterator[Line]:
    for number, event in enumerate(events, start=1):
        yield Line(number, {"at": float(number), **event})
