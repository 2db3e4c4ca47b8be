"""Narrowing down the rows that end their process, attempt by attempt."""

from __future__ import annotations

from collections.abc import Set
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from tasks.worker.suspect_rows import DEATHS_ALONE, FEW, MOST_FOUND, SuspectRows

ATTEMPTS_EACH = 1 + DEATHS_ALONE
FIRST, ROWS = 1_000, 200


class Notes:
    """One hash of Redis."""

    def __init__(self) -> None:
        self.fields: dict[str, bytes] = {}

    def hget(self, key: str, name: str) -> bytes | None:
        return self.fields.get(name)

    def hset(self, key: str, name: str, value: bytes) -> None:
        self.fields[name] = value


def suspects_in(notes: Notes) -> SuspectRows:
    return SuspectRows.of(cast(Redis, notes), "job", 3)


def attempt(notes: Notes, killers: Set[int], *, killed_at: int | None = None) -> bool:
    """One attempt after the first; whether it came to its end. `killed_at` is a row that happens to be scored
    when somebody kills the worker.
    """
    suspects = suspects_in(notes)
    numbers = [number for number in range(FIRST, FIRST + ROWS) if number not in suspects.found]
    seen: list[int] = []
    for some in suspects.groups(numbers):
        seen += numbers[some]
        if killers & set(numbers[some]) or killed_at in numbers[some]:
            return False
    assert seen == numbers
    return True


@settings(deadline=None)
@given(st.sets(st.integers(FIRST, FIRST + ROWS - 1), max_size=MOST_FOUND - 1))
def test_each_row_that_ends_its_process_is_found_and_no_other(killers: set[int]) -> None:
    notes = Notes()
    attempts = 1
    while not attempt(notes, killers):
        attempts += 1
        assert suspects_in(notes).is_promising(attempts)
    assert set(suspects_in(notes).found) == killers
    assert attempts <= 1 + ATTEMPTS_EACH * len(killers)


@pytest.mark.parametrize("rows", [(1_003, 1_003), (1_003, 1_010), (1_100, 1_003)])
def test_a_worker_that_is_killed_now_and_then_accuses_no_row(rows: tuple[int, int]) -> None:
    notes = Notes()
    for row in rows:
        assert not attempt(notes, set(), killed_at=row)
    assert attempt(notes, set())
    assert suspects_in(notes).found == []


def test_too_many_are_given_up() -> None:
    notes = Notes()
    killers = set(range(FIRST, FIRST + MOST_FOUND + FEW))
    attempts = 1
    while suspects_in(notes).is_promising(attempts) or attempts == 1:
        assert not attempt(notes, killers)
        attempts += 1
    assert len(suspects_in(notes).found) == MOST_FOUND
