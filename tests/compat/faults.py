"""Whatever goes wrong in a run, gathered from all threads, and how much went well."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

MOST_SHOWN: Final = 20
BAD_LINE: Final = re.compile(r"\bERROR\b|\bCRITICAL\b|Traceback \(most recent call last\)")
LINES_AFTER: Final = 25


def say(text: str) -> None:
    """Tell the person who runs it how far it is."""
    print(text, flush=True)  # noqa: T201 - the report of the run


class Book:
    """Faults and counts of the current phase. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[str] = []
        self._counts: Counter[str] = Counter()

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self._counts[what] += number

    def fault(self, text: str) -> None:
        with self._lock:
            self._faults.append(text)

    def close_phase(self, name: str, seconds: float) -> None:
        """Say what the phase has seen, and fail if anything went wrong in it."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            faults, self._faults = self._faults, []
        seen = ", ".join(f"{number:,} {what}" for what, number in sorted(counts.items()))
        say(f"{name}: {'FAILED' if faults else 'ok'} in {seconds:.0f} s: {seen}")
        assert not faults, f"{name}: {len(faults)} faults:\n" + "\n".join(faults[:MOST_SHOWN])


def guarded(book: Book, name: str, work: Callable[[], None]) -> Callable[[], None]:
    """`work` as a thread's target: its exception is a fault and not silence."""

    def run() -> None:
        try:
            work()
        except Exception as error:
            book.fault(f"{name} ended: {error!r}")

    return run


def bad_lines(log: str) -> str:
    """Errors that a process has logged, each with what follows it; empty if there are none."""
    lines = log.splitlines()
    first = next((number for number, line in enumerate(lines) if BAD_LINE.search(line)), None)
    return "" if first is None else "\n".join(lines[first : first + LINES_AFTER])
