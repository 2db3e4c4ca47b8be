"""`python -m tests.faults [FAULT …]`: cause faults in a running service, and print what its callers saw.

During each fault single predictions, batch jobs and a Kafka stream run. A caller retries once, on the other
of two web servers. Exit code 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Final

from tests.faults.causes import FAULTS, SMOKE, Fault
from tests.faults.kafka_causes import repeated_records
from tests.faults.services import CannotCause
from tests.faults.traffic import OK, Traffic

QUIET_S: Final = 4.0
AFTER_S: Final = 12.0
SINGLES_A_SECOND: Final = 60.0
RECORDS_A_SECOND: Final = 50.0
# Beyond this, a fault that is over still has effects.
RECOVERED_WITHIN_S: Final = 10.0
HEADER: Final = (
    f"{'fault':41} {'singles':>7} {'first':>6} {'retried':>7} {'degraded':>8} {'slowest':>8} "
    f"{'recovery':>8} {'jobs':>5} {'lost':>4} {'records':>7} {'lost':>4}  promise"
)


@dataclass(frozen=True)
class Row:
    """What callers saw of a fault. Shares are of single predictions; `recovery_s` counts from its end."""

    name: str
    calls: int
    first: float
    retried: float
    degraded: int
    slowest_s: float
    recovery_s: float
    jobs: int
    lost_jobs: int
    records: int
    lost_records: int
    repeated_records: int

    def broken(self, fault: Fault) -> list[str]:
        """The promises that were not kept."""
        found = {
            f"{fault.answered:.1%} answered": self.retried >= fault.answered,
            f"recovered within {RECOVERED_WITHIN_S:g} s": self.recovery_s <= RECOVERED_WITHIN_S,
            "no job lost": self.lost_jobs == 0 or not fault.keeps_jobs,
            "no record lost": self.lost_records == 0,
            "no record twice": self.repeated_records == 0 or not fault.exactly_once,
        }
        return [promise for promise, kept in found.items() if not kept]

    def line(self, fault: Fault) -> str:
        """The row as text."""
        return (
            f"{self.name:41} {self.calls:7d} {self.first:6.1%} {self.retried:7.1%} {self.degraded:8d} "
            f"{self.slowest_s:6.2f} s {self.recovery_s:6.1f} s {self.jobs:5d} {self.lost_jobs:4d} "
            f"{self.records:7d} {self.lost_records:4d}  {', '.join(self.broken(fault)) or 'kept'}"
        )


def run(name: str, fault: Fault) -> Row:
    """Cause one fault in a new service. Blocks about a minute."""
    with fault.service(fault.app) as service:
        traffic = Traffic(
            [web.url for web in service.webs.values()],
            service.kafka.url,
            SINGLES_A_SECOND,
            RECORDS_A_SECOND,
        )
        with traffic.running():
            time.sleep(QUIET_S)
            fault.cause(service, fault.fault_s)
            over = time.monotonic()
            time.sleep(AFTER_S)
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
            len(traffic.accepted),
            traffic.lost_jobs(),
            len(traffic.sent),
            traffic.lost_records(),
            repeated_records(service) if fault.exactly_once else 0,
        )


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
        _print(row.line(FAULTS[name]))
    return int(is_broken)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
