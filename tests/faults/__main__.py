"""`python -m tests.faults [FAULT …]`: cause faults in a running service, and print what its callers saw.

During each fault single predictions, batch jobs and a Kafka stream of three tenants run. A caller retries
once, on the other of two web servers. The history of each run is held against the laws of `checker.py`, and
kept in `build/faults/`. Exit code 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from settings import ROOT
from tests.faults import checker
from tests.faults.causes import FAULTS, SMOKE, Fault
from tests.faults.checker import Verdict
from tests.faults.history import History, read
from tests.faults.services import CannotCause
from tests.faults.traffic import OK, Rates, Traffic

QUIET_S: Final = 4.0
AFTER_S: Final = 12.0
FOLDER: Final = ROOT / "build" / "faults"
# Beyond this, a fault that is over still has effects.
RECOVERED_WITHIN_S: Final = 10.0
HEADER: Final = (
    f"{'fault':41} {'singles':>7} {'first':>6} {'retried':>7} {'degraded':>8} {'slowest':>8} "
    f"{'recovery':>8} {'jobs':>5} {'records':>7} {'events':>7}  promise"
)


@dataclass(frozen=True)
class Row:
    """What callers saw of a fault. Shares are of single predictions; `recovery_s` counts from its end.

    `found` are broken promises that the fault has of its own. `verdict` is that of the checker over the whole
    history.
    """

    name: str
    calls: int
    first: float
    retried: float
    degraded: int
    slowest_s: float
    recovery_s: float
    jobs: int
    records: int
    found: list[str]
    verdict: Verdict

    def broken(self, fault: Fault) -> list[str]:
        """The promises that were not kept."""
        found = {
            f"{fault.answered:.1%} answered": self.retried >= fault.answered,
            f"recovered within {RECOVERED_WITHIN_S:g} s": self.recovery_s <= RECOVERED_WITHIN_S,
        }
        return [promise for promise, kept in found.items() if not kept] + self.found + self.verdict.broken

    def line(self, fault: Fault) -> str:
        """The row as text."""
        return (
            f"{self.name:41} {self.calls:7d} {self.first:6.1%} {self.retried:7.1%} {self.degraded:8d} "
            f"{self.slowest_s:6.2f} s {self.recovery_s:6.1f} s {self.jobs:5d} {self.records:7d} "
            f"{self.verdict.events:7d}  {', '.join(self.broken(fault)) or 'kept'}"
        )

    def lines(self, fault: Fault) -> Iterable[str]:
        """The row, and under it the checker's verdict if a law is broken."""
        yield self.line(fault)
        if self.verdict.broken:
            yield from self.verdict.lines()


def run(name: str, fault: Fault) -> Row:
    """Cause one fault in a new service. Blocks about a minute."""
    path = history_file(name)
    with fault.service(fault.app) as service, History(path) as history:
        history.write("run", transactions=fault.exactly_once)
        urls = [web.url for web in service.webs.values()]
        traffic = Traffic(urls, service.kafka.url, history, Rates())
        with traffic.running():
            time.sleep(QUIET_S)
            history.write("fault", name=name, phase="begins")
            if not fault.keeps_jobs:
                history.write("losing")
            if fault.switches:
                history.write("switch", phase="begins")
            fault.cause(service, fault.fault_s)
            over, over_at = time.monotonic(), time.time()
            history.write("fault", name=name, phase="ends")
            if not fault.keeps_jobs:
                history.write("lost")
            if fault.switches:
                history.write("switch", phase="ends")
            time.sleep(AFTER_S)
        found = fault.check(service, traffic, over_at)
    after = [call for call in traffic.calls if call.began >= over]
    unwell = [call.began - over for call in after if call.first != OK or call.is_degraded]
    total = len(traffic.calls)
    return Row(
        name,
        total,
        sum(call.first == OK for call in traffic.calls) / total,
        sum(call.final == OK for call in traffic.calls) / total,
        sum(call.is_degraded for call in traffic.calls),
        max(call.took_s for call in traffic.calls),
        max(unwell, default=0.0),
        traffic.jobs,
        traffic.records,
        found,
        checker.check(read(path)),
    )


def history_file(name: str) -> Path:
    """A new file for the history of a run."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.ndjson"
    path.unlink(missing_ok=True)
    return path


def main() -> int:
    """Cause the faults; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="a part of a fault's name; default all")
    parser.add_argument("--smoke", action="store_true", help="the few that CI causes")
    given = parser.parse_args()
    chosen = [
        name
        for name in (SMOKE if given.smoke else FAULTS)
        if not given.faults or any(word in name for word in given.faults)
    ]
    if not chosen:
        parser.error(f"no fault is named {' or '.join(given.faults)}")
    _print(HEADER)
    is_broken = False
    for name in chosen:
        try:
            row = run(name, FAULTS[name])
        except CannotCause as error:
            is_broken = True
            _print(f"{name:41} cannot be caused here: {error}")
            continue
        is_broken |= bool(row.broken(FAULTS[name]))
        for line in row.lines(FAULTS[name]):
            _print(line)
    return int(is_broken)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
