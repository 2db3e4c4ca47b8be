"""An error is kept to the item that caused it."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator, Sequence

import pytest

import metrics
from isolation import together_or_alone


class Halves:
    """Halves even numbers, and remembers how often it was called."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.calls.append(list(numbers))
        if odd := [number for number in numbers if number % 2]:
            raise ValueError(f"{odd[0]} is odd")
        if any(number < 0 for number in numbers):
            raise ConnectionError("away")
        return [number // 2 for number in numbers]


def counted() -> float:
    return float(metrics.UNEXPECTED_ERRORS.labels(unit="number")._value.get())


def test_what_goes_well_is_done_once_for_all() -> None:
    halves, before = Halves(), counted()
    assert together_or_alone(halves, [2, 4], unit="number") == [1, 2]
    assert halves.calls == [[2, 4]]
    assert counted() == before


def test_one_that_fails_gets_its_error_and_the_others_their_results() -> None:
    before = counted()
    first, bad, last = together_or_alone(Halves(), [2, 3, 4], unit="number")
    assert (first, last) == (1, 2)
    assert isinstance(bad, ValueError)
    assert counted() == before + 1


def test_one_alone_is_done_once() -> None:
    halves, before = Halves(), counted()
    (bad,) = together_or_alone(halves, [3], unit="number")
    assert isinstance(bad, ValueError)
    assert halves.calls == [[3]]
    assert counted() == before + 1


@pytest.mark.parametrize("numbers", [[-2, 2], [3, -2]])
def test_an_error_that_is_no_items_fault_passes(numbers: list[int]) -> None:
    with pytest.raises(ConnectionError):
        together_or_alone(Halves(), numbers, unit="number", passes=(ConnectionError,))


def test_nothing_is_done_with_nothing() -> None:
    def fails(numbers: Sequence[int]) -> list[int]:
        raise ValueError

    assert together_or_alone(fails, [], unit="number") == []


class Memory:
    """Stands for what an item takes before it fails."""


@pytest.fixture
def only_references() -> Iterator[None]:
    """Nothing but references keeps or frees an object. Captured log records would keep tracebacks."""
    gc.disable()
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


@pytest.mark.usefixtures("only_references")
@pytest.mark.parametrize("items", [[1], [1, 2]])
def test_an_error_does_not_hold_the_memory_of_its_item(items: list[int]) -> None:
    taken: list[weakref.ref[Memory]] = []

    def eats(_: Sequence[int]) -> list[int]:
        memory = Memory()
        taken.append(weakref.ref(memory))
        raise MemoryError

    results = together_or_alone(eats, items, unit="number")
    assert [type(result) for result in results] == [MemoryError] * len(items)
    assert [memory() for memory in taken] == [None] * len(taken)
