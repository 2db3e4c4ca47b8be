"""The clock of Redis, while this host's own clock is wrong or steps."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest
from redis import ConnectionError as RedisAway
from redis import Redis

from tasks.storage import redis_clock


class Clock:
    """In place of the module `time`: a wall clock and a monotonic one, moved by the test."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_700_000_000.0, 50.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(redis_clock, "time", clock)
    monkeypatch.setattr(redis_clock, "_origin", clock.wall - clock.steady)
    return clock


def test_it_is_this_hosts_own_time_before_the_first_look(clock: Clock) -> None:
    assert redis_clock.now() == clock.wall
    assert redis_clock.offset_s() == 0


@pytest.mark.parametrize("ahead_s", [5.0, -120.0, 3600.0])
def test_a_wrong_clock_is_known_by_its_offset(clock: Clock, ahead_s: float) -> None:
    server_time = clock.wall - ahead_s
    asked_at = clock.steady
    clock.steady += 0.2  # the answer took 0.2 s: the server's time is that of the middle
    clock.wall += 0.2
    redis_clock.note(server_time + 0.1, asked_at)
    assert redis_clock.now() == pytest.approx(server_time + 0.2)
    assert redis_clock.offset_s() == pytest.approx(ahead_s)


def test_a_step_of_the_clock_changes_nothing(clock: Clock) -> None:
    redis_clock.note(clock.wall, clock.steady)
    clock.wall -= 3600
    clock.steady += 1
    assert redis_clock.now() == 1_700_000_001
    assert redis_clock.offset_s() == -3601


def test_a_step_back_changes_no_arrival_time(clock: Clock) -> None:
    redis_clock.note(clock.wall, clock.steady)
    clock.wall -= 3600
    clock.steady += 10
    assert redis_clock.moment() == datetime.fromtimestamp(1_700_000_010, UTC)


def follow(redis: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Follow a server. Returns the thread that would go on asking."""
    thread = Mock()
    monkeypatch.setattr(redis_clock, "threading", SimpleNamespace(Thread=Mock(return_value=thread)))
    redis_clock.follow(cast(Redis, redis))
    return thread


def test_the_time_is_known_before_the_first_task_is_taken(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose clock is ahead would otherwise expire the tasks that it finds on its queue."""
    follow(SimpleNamespace(time=lambda: (int(clock.wall) - 120, 0)), monkeypatch)
    assert redis_clock.offset_s() == 120


def test_a_server_that_does_not_answer_at_first_is_asked_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = follow(SimpleNamespace(time=Mock(side_effect=RedisAway)), monkeypatch)
    assert redis_clock.offset_s() == 0
    assert thread.start.called
