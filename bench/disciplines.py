"""`python -m bench.disciplines`: queue disciplines under overload, in virtual time (docs/adr/0018).

Callers come at random (an open loop) and wait 3 s. One worker takes tasks of at most 64 readings, one after
the other. All runs have the same seed. Prints a line for each discipline and load.
"""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tasks.client.admission import Admission
from tasks.client.batcher import MAX_BATCH, MAX_IN_FLIGHT

TIMEOUT_S: Final = 3.0
READINGS_A_SECOND: Final = 500.0
# The cost of a task besides its readings.
TASK_S: Final = 0.003
SIMULATED_S: Final = 60.0
SETTLE_S: Final = 5.0
TIMES: Final = (1, 2, 4, 8)
MANY: Final = 4_096
# RFC 8289 has 5 ms and 100 ms for packets. A task alone takes longer here.
CODEL_TARGET_S: Final = 0.25
CODEL_INTERVAL_S: Final = 0.5
OK, REFUSED, TOO_LATE = 200, 503, 504


@dataclass(slots=True)
class Caller:
    """A caller, and the status of its answer: 0 while it waits."""

    came: float
    status: int = 0
    took_s: float = 0.0


@dataclass
class Discipline:
    """The oldest callers come first. `most` may wait; with None, as many as `Admission` lets in."""

    name: str
    most: int | None = None
    waiting: deque[Caller] = field(default_factory=deque)

    def next(self, now: float) -> tuple[Caller, bool]:
        """Remove and return a caller, and whether it is refused."""
        return self.waiting.popleft(), False


class NewestFirst(Discipline):
    """The newest callers come first (LIFO)."""

    def next(self, now: float) -> tuple[Caller, bool]:
        """Remove and return a caller. None is refused."""
        return self.waiting.pop(), False


class CoDel(Discipline):
    """Callers are refused, more and more of them, while all have waited longer than a target (RFC 8289)."""

    refused = 0
    refuse_at: float | None = None

    def next(self, now: float) -> tuple[Caller, bool]:
        """Remove and return a caller, and whether it is refused."""
        caller = self.waiting.popleft()
        if now - caller.came < CODEL_TARGET_S:
            self.refuse_at, self.refused = None, 0
        elif self.refuse_at is None:
            self.refuse_at = now + CODEL_INTERVAL_S
        elif now >= self.refuse_at:
            self.refused += 1
            self.refuse_at += CODEL_INTERVAL_S / self.refused**0.5
            return caller, True
        return caller, False


class Simulation:
    """One run of a discipline at a load. `callers` are all that came."""

    def __init__(self, discipline: Discipline, times: int) -> None:
        self.callers: list[Caller] = []
        self._queue = discipline
        self._rate = times * READINGS_A_SECOND
        self._chance = random.Random(7)
        self._admission = Admission(discipline.most or MANY, MAX_BATCH * (MAX_IN_FLIGHT + 1), TIMEOUT_S)
        self._waiting = 0
        self._task_ends: deque[float] = deque()
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._at(0.0, self._come)
        while self._events[0][0] < SIMULATED_S:
            now, _, event = heapq.heappop(self._events)
            event(now)

    def _at(self, when: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _come(self, now: float) -> None:
        caller = Caller(now)
        self.callers.append(caller)
        self._waiting += 1
        if self._waiting > self._admission.total:
            self._end(caller, REFUSED, now)
        else:
            self._queue.waiting.append(caller)
            self._at(now + TIMEOUT_S, partial(self._end, caller, TOO_LATE))
            self._send(now)
        self._at(now + self._chance.expovariate(self._rate), self._come)

    def _end(self, caller: Caller, status: int, now: float) -> None:
        if caller.status == 0:
            self._waiting -= 1
            caller.status, caller.took_s = status, now - caller.came

    def _send(self, now: float) -> None:
        while len(self._task_ends) < MAX_IN_FLIGHT:
            if len(self._queue.waiting) < (MAX_BATCH if self._task_ends else 1):
                return
            together: list[Caller] = []
            while self._queue.waiting and len(together) < MAX_BATCH:
                caller, is_refused = self._queue.next(now)
                if is_refused:
                    self._end(caller, REFUSED, now)
                elif caller.status == 0:
                    together.append(caller)
            if not together:
                return
            ends = max([now, *self._task_ends]) + TASK_S + len(together) / READINGS_A_SECOND
            self._task_ends.append(ends)
            self._at(ends, partial(self._complete, together, now))

    def _complete(self, together: list[Caller], sent_at: float, now: float) -> None:
        self._task_ends.popleft()
        for caller in together:
            self._end(caller, OK, now)
        if self._queue.most is None and len(together) == MAX_BATCH:
            self._admission.note_full_task(MAX_BATCH, sent_at, now)
        self._send(now)


def main() -> None:
    """Print a line for each discipline and load."""
    for times in TIMES:
        for discipline in (
            Discipline("oldest first, 256 may wait", 256),
            Discipline(f"oldest first, {MANY:,} may wait", MANY),
            NewestFirst(f"newest first, {MANY:,} may wait", MANY),
            CoDel(f"CoDel, {MANY:,} may wait", MANY),
            Discipline("oldest first, admission by throughput"),
            NewestFirst("newest first, admission by throughput"),
        ):
            sys.stdout.write(_shown(discipline.name, times, Simulation(discipline, times).callers) + "\n")


def _shown(name: str, times: int, callers: list[Caller]) -> str:
    counted = [caller for caller in callers if SETTLE_S <= caller.came < SIMULATED_S - TIMEOUT_S]
    seconds = SIMULATED_S - TIMEOUT_S - SETTLE_S

    def percentile(status: int, percent: int) -> float:
        some = [caller.took_s for caller in counted if caller.status == status]
        return statistics.quantiles(some, n=100)[percent - 1] if len(some) > 1 else 0.0

    count = {status: sum(caller.status == status for caller in counted) for status in (OK, REFUSED, TOO_LATE)}
    return (
        f"{times} x  {name:40} {count[OK] / seconds:6.0f} good/s  p50 {percentile(OK, 50):5.2f} s  "
        f"p99 {percentile(OK, 99):5.2f} s  503: {count[REFUSED] / len(counted):6.1%}, "
        f"p95 {percentile(REFUSED, 95):5.2f} s  504: {count[TOO_LATE] / len(counted):6.1%}"
    )


if __name__ == "__main__":
    main()
