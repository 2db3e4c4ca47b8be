"""`python -m tests.faults.checker FILE`: hold the history of a run against the laws of the service.

Prints each law with the number of cases that it holds for, and the violations with their lines. Exit code 1
if a law is violated, if a law was not tried, or if the history is not that of a whole run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.history import Line, read
from tests.faults.job_laws import OneResult, SameJob
from tests.faults.laws import SHOWN, AnswersMatch, Law, NewestWins
from tests.faults.stream_laws import OneOutcome, OrderOfCharger

LAWS: Final[tuple[type[Law], ...]] = (
    OneOutcome,
    OrderOfCharger,
    OneResult,
    SameJob,
    NewestWins,
    AnswersMatch,
)


@dataclass(frozen=True)
class Verdict:
    """The laws after a history of `events` lines. `is_whole`: the run was read to its end."""

    laws: list[Law]
    events: int
    is_whole: bool

    @property
    def broken(self) -> list[str]:
        """The titles of the laws that are violated, or were not tried, and whether the history is cut."""
        found = [law.title for law in self.laws if law.broken]
        found += [f"not tried: {law.title}" for law in self.laws if not law.broken and not law.proved]
        return found if self.is_whole else [*found, "the history is not of a whole run"]

    def lines(self) -> Iterable[str]:
        """The verdict as text."""
        yield f"{self.events:,} events"
        for law in self.laws:
            notes = ", ".join(f"{count:,} {what}" for what, count in sorted(law.notes.items()) if count)
            state = f"VIOLATED {law.broken:,} times" if law.broken else "holds" if law.proved else "NOT TRIED"
            yield f"  {law.title}: {state}, {law.proved:,} cases" + (f" ({notes})" if notes else "")
            yield from (f"    {violation}" for violation in law.violations)
            if law.broken > SHOWN:
                yield f"    … and {law.broken - SHOWN:,} more"
        yield f"verdict: {'; '.join(self.broken) or 'all laws hold'}"


def check(lines: Iterable[Line]) -> Verdict:
    """Hold events against all laws, in one pass. Memory grows with what is open, and a byte an offset."""
    laws = [law() for law in LAWS]
    handlers: dict[str, list[Callable[[Line], None]]] = {}
    events, is_whole = 0, False
    for line in lines:
        events += 1
        name = line.event["event"]
        if name not in handlers:
            found = [getattr(law, f"on_{name}", None) for law in laws]
            handlers[name] = [handler for handler in found if handler is not None]
        for handler in handlers[name]:
            handler(line)
        is_whole = name == "settled"
    for law in laws:
        law.finish()
    return Verdict(laws, events, is_whole)


def main() -> int:
    """Check a file; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.checker", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE")
    verdict = check(read(parser.parse_args().file))
    sys.stdout.writelines(f"{line}\n" for line in verdict.lines())
    return int(bool(verdict.broken))


if __name__ == "__main__":
    sys.exit(main())
