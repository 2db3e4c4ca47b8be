"""Which failed log-ins have an entry in the audit log."""

from __future__ import annotations

from web.console.failed_log_ins import MOST_AT_ONCE, SECONDS_EACH, FailedLogIns


def test_a_flood_has_few_entries_and_the_next_one_counts_the_others() -> None:
    now = 0.0
    failed = FailedLogIns(lambda: now)
    assert [failed.count() for _ in range(MOST_AT_ONCE)] == [0] * MOST_AT_ONCE
    assert [failed.count() for _ in range(3)] == [None] * 3
    now += SECONDS_EACH
    assert [failed.count() for _ in range(2)] == [3, None]
    now += 1_000 * SECONDS_EACH  # a long silence makes no room for more than at first
    assert [failed.count() for _ in range(MOST_AT_ONCE + 1)] == [1, *[0] * (MOST_AT_ONCE - 1), None]
