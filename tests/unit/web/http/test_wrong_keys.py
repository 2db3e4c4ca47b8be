"""Wrong keys of an address: some are refused as usual, more are slowed, and silence is rewarded."""

from __future__ import annotations

import pytest

from errors import TooManyWrongKeys
from web.http import wrong_keys
from web.http.wrong_keys import MOST_ADDRESSES, MOST_AT_ONCE, MOST_COUNTED, SECONDS_EACH, WrongKeys

ADDRESS = "203.0.113.9"


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(clock: Clock) -> WrongKeys:
    return WrongKeys(clock)


def wait_of(counts: WrongKeys, address: str = ADDRESS) -> int:
    """The seconds that a wrong key is told to wait; 0 if it is not slowed."""
    foretold = counts.is_slowed(address)
    try:
        counts.count(address)
    except TooManyWrongKeys as error:
        assert foretold
        return error.retry_after_s or 0
    assert not foretold
    return 0


@pytest.mark.owasp(
    "API2", "an address that sends one wrong key after another is told to wait, and longer each time"
)
def test_waits_grow_up_to_a_minute(counts: WrongKeys) -> None:
    assert [wait_of(counts) for _ in range(MOST_AT_ONCE)] == [0] * MOST_AT_ONCE
    assert [wait_of(counts) for _ in range(61)] == [*range(2, 61), 60, 60]


def test_one_that_waits_is_refused_as_usual(counts: WrongKeys, clock: Clock) -> None:
    for _ in range(MOST_AT_ONCE + 3):
        wait = wait_of(counts)
    clock.now_s += wait
    assert wait_of(counts) == 0
    assert wait_of(counts) == 2 * SECONDS_EACH


def test_others_are_not_slowed(counts: WrongKeys) -> None:
    for _ in range(MOST_AT_ONCE + 1):
        wait_of(counts)
    assert not counts.is_slowed("203.0.113.8")
    assert wait_of(counts, "203.0.113.8") == 0


def test_an_ipv6_network_is_slowed_as_a_whole(counts: WrongKeys) -> None:
    for number in range(MOST_AT_ONCE):
        assert wait_of(counts, f"2001:db8::{number:x}") == 0
    assert wait_of(counts, "2001:db8::ffff") == 2 * SECONDS_EACH


def test_silent_addresses_are_forgotten(counts: WrongKeys, clock: Clock) -> None:
    for number in range(5):
        wait_of(counts, f"203.0.113.{number}")
        clock.now_s += 10
    assert counts.addresses == 5
    clock.now_s += MOST_COUNTED * SECONDS_EACH - 20
    assert not counts.is_slowed(ADDRESS)
    assert counts.addresses == 1


def test_the_table_is_bounded(counts: WrongKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_ADDRESSES == 10_000
    monkeypatch.setattr(wrong_keys, "MOST_ADDRESSES", 3)
    for number in range(5):
        wait_of(counts, f"203.0.113.{number}")
    assert counts.addresses == 3
