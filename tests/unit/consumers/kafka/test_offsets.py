"""Offsets never pass a record without an outcome, whatever order outcomes come in."""

from __future__ import annotations

import random

import pytest

from consumers.kafka.offsets import OffsetTracker, Partition, PendingRecord
from consumers.kafka.records import Outgoing, Received

P0, P1 = Partition("in", 0), Partition("in", 1)


def add(window: OffsetTracker, partition: int, offset: int) -> PendingRecord:
    return window.add(Received("in", partition, offset, None, b""))


def finish(entry: PendingRecord) -> None:
    entry.outcomes = (Outgoing("out", None, str(entry.received.offset).encode()),)


def window(most: int = 100, most_per_partition: int = 100) -> OffsetTracker:
    return OffsetTracker(most=most, most_per_partition=most_per_partition)


def test_a_head_without_outcome_holds_its_partition_and_no_other() -> None:
    held = window()
    head, behind, elsewhere = add(held, 0, 5), add(held, 0, 6), add(held, 1, 9)
    finish(behind)
    finish(elsewhere)
    assert held.finished(most=10).offsets == {P1: 10}
    finish(head)
    assert held.finished(most=10).offsets == {P0: 7, P1: 10}


def test_offsets_may_have_gaps() -> None:
    held = window()
    finish(add(held, 0, 5))
    finish(add(held, 0, 9))
    assert held.finished(most=10).offsets == {P0: 10}


def test_a_round_is_bounded_and_stays_until_it_is_settled() -> None:
    held = window()
    for offset in range(5):
        finish(add(held, 0, offset))
    first = held.finished(most=3)
    assert first.offsets == {P0: 3}
    assert len(held) == 5
    assert held.finished(most=3).offsets == {P0: 3}  # it failed: the same again
    held.settle(first)
    assert len(held) == 2
    assert held.finished(most=3).offsets == {P0: 5}


def test_a_full_window_is_full_for_all_and_a_full_partition_for_itself() -> None:
    held = window(most=3, most_per_partition=2)
    add(held, 0, 0)
    assert not held.full(P0)
    add(held, 0, 1)
    assert held.full(P0)
    assert not held.full(P1)
    add(held, 1, 0)
    assert held.full(P1)


def test_dropped_records_are_not_published_and_not_committed() -> None:
    held = window()
    gone, kept = add(held, 0, 0), add(held, 1, 0)
    finish(kept)
    assert held.drop([P0, Partition("in", 7)]) == 1
    finish(gone)  # its verdict came after all
    assert gone.dropped
    assert held.finished(most=10).offsets == {P1: 1}
    assert len(held) == 1


def test_a_partition_dropped_between_publishing_and_settling() -> None:
    held = window()
    finish(add(held, 0, 0))
    done = held.finished(most=10)
    held.drop([P0])
    later = add(held, 0, 0)  # it came back, from the committed offset
    held.settle(done)
    assert len(held) == 1
    finish(later)
    assert held.finished(most=10).offsets == {P0: 1}


def test_any_order_of_outcomes_publishes_each_partition_in_its_own_order() -> None:
    chance = random.Random(7)
    held = window(most=1000, most_per_partition=1000)
    entries = [add(held, n % 3, n // 3) for n in range(300)]
    chance.shuffle(entries)
    published: dict[Partition, list[int]] = {}
    for entry in entries:
        finish(entry)
        done = held.finished(most=chance.randint(1, 20))
        for published_entry in done.records:
            published.setdefault(published_entry.partition, []).append(published_entry.received.offset)
        for partition, offset in done.offsets.items():
            assert offset == published[partition][-1] + 1
        held.settle(done)
    while (done := held.finished(most=20)).records:
        for published_entry in done.records:
            published.setdefault(published_entry.partition, []).append(published_entry.received.offset)
        held.settle(done)
    assert published == {Partition("in", n): list(range(100)) for n in range(3)}
    assert len(held) == 0


@pytest.mark.owasp("API10", "the bytes of Kafka records under way are bounded, whatever their number")
def test_large_values_fill_all_partitions() -> None:
    held = OffsetTracker(most=100, most_per_partition=100, most_bytes=1_000)
    first = held.add(Received("in", 0, 0, None, b"x" * 999))
    assert not held.full(P0)
    second = held.add(Received("in", 0, 1, None, b"x"))
    assert held.full(P0)
    assert held.full(P1)
    finish(first)
    held.settle(held.finished(most=10))
    assert not held.full(P1)
    held.add(Received("in", 1, 0, None, b"x" * 2_000))
    assert held.full(P0)
    held.drop([P1])
    assert not held.full(P0)
    assert not second.dropped
