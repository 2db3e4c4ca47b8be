"""The most of the mixed load that a service and its callers manage on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tests.faults.traffic import OK, Rates, Traffic

FIRST: Final = 0.25
STEP: Final = 1.4
WARM_UP_S: Final = 20.0
STEP_S: Final = 8.0
# After a step has begun, before its calls count.
SETTLE_S: Final = 3.0
OK_SHARE: Final = 0.995
P95_S: Final = 0.5
# Records without an outcome may be as many as arrive in this time.
BACKLOG_S: Final = 2.0
CALM_S: Final = 20.0
MOST_STEPS: Final = 12


def capacity(traffic: Traffic, base: Rates, say: Callable[[str], None]) -> float:
    """The largest tried multiple of `base` that is sustained, a quarter at least.

    Blocks 20 s, 8 s a step, and 20 s of calm.

    Sustained: 99.5 % of the single predictions are answered at once, 95 % of them within 0.5 s, and the
    stream is no more than 2 s behind.
    """
    factor = best = FIRST
    traffic.change(base.times(factor))
    time.sleep(WARM_UP_S)
    for _ in range(MOST_STEPS):
        traffic.change(base.times(factor))
        time.sleep(SETTLE_S)
        since = time.monotonic()
        time.sleep(STEP_S - SETTLE_S)
        calls = [call for call in traffic.calls if since <= call.began < time.monotonic() - P95_S]
        expected = traffic.rates.singles_a_second * (STEP_S - SETTLE_S - P95_S)
        done = sum(call.first == OK and not call.is_degraded for call in calls)
        slow = sorted(call.took_s for call in calls)[int(0.95 * len(calls))] if calls else P95_S
        behind_s = traffic.outstanding_records / traffic.rates.records_a_second
        say(
            f"  {traffic.rates.singles_a_second:5.0f} singles a second: {done / expected:6.1%} answered, "
            f"p95 {slow * 1000:4.0f} ms, stream {behind_s:.1f} s behind"
        )
        if done < OK_SHARE * expected * 0.98 or slow > P95_S or behind_s > BACKLOG_S:
            break
        best, factor = factor, factor * STEP
    traffic.change(base.times(best / 2))
    time.sleep(CALM_S)
    return best
