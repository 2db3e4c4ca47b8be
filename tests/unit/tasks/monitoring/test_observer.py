"""Readings that wait are bounded in number, and looked at within a budget of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from models.features.columns import HistoryEntries
from models.monitoring.loaded_version import Seen
from readings.reading import Reading
from tasks.monitoring.observer import CHUNK, Backlog


def seen(number: int) -> Seen:
    return Reading(f"EVZ-{number}", "AVAILABLE", datetime(2026, 1, 1, tzinfo=UTC)), HistoryEntries.of(())


def test_what_finds_no_place_is_counted_once() -> None:
    backlog = Backlog(limit=20)
    for number in range(25):
        backlog.put(seen(number))
    assert backlog.take_dropped() == 5
    assert backlog.take_dropped() == 0


def test_they_are_looked_at_in_order_a_few_at_a_time() -> None:
    backlog = Backlog(limit=20)
    for number in range(20):
        backlog.put(seen(number))
    parts: list[Sequence[Seen]] = []
    backlog.spend(0.0, parts.append)
    assert parts == []
    backlog.spend(10.0, parts.append)
    assert [len(part) for part in parts] == [CHUNK, CHUNK, 20 - 2 * CHUNK]
    assert [reading.charger_id for part in parts for reading, _ in part] == [f"EVZ-{n}" for n in range(20)]


def test_what_cannot_be_looked_at_is_let_go() -> None:
    backlog = Backlog(limit=20)
    backlog.put(seen(1))

    def fail(_: Sequence[Seen]) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        backlog.spend(10.0, fail)
    backlog.spend(10.0, fail)  # none waits any more
