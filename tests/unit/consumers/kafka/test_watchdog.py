"""Standing still before the end is a fault; at the end, or while paused, it is not."""

from __future__ import annotations

import pytest

from consumers.kafka.offsets import Partition
from consumers.kafka.watchdog import FROZEN_MOST_S, StreamStuck, Watchdog

P0 = Partition("in", 0)


def test_a_partition_frozen_before_its_end_ends_the_process() -> None:
    watchdog = Watchdog()
    watchdog.look([(P0, 5, 9)], 0)
    watchdog.look([(P0, 5, 20)], FROZEN_MOST_S - 1)
    with pytest.raises(StreamStuck, match="at 5 of 20"):
        watchdog.look([(P0, 5, 20)], FROZEN_MOST_S)


def test_any_progress_starts_the_time_again() -> None:
    watchdog = Watchdog()
    watchdog.look([(P0, 5, 9)], 0)
    watchdog.look([(P0, 6, 9)], FROZEN_MOST_S - 1)
    watchdog.look([(P0, 6, 9)], 2 * FROZEN_MOST_S - 2)


def test_an_idle_or_a_paused_partition_may_stand_still() -> None:
    watchdog = Watchdog()
    watchdog.look([(P0, 9, 9)], 0)
    watchdog.look([(P0, 9, 9)], 10 * FROZEN_MOST_S)
    watchdog.look([(P0, 9, 12)], 11 * FROZEN_MOST_S)
    watchdog.look([], 12 * FROZEN_MOST_S)  # paused
    watchdog.look([(P0, 9, 12)], 13 * FROZEN_MOST_S)
