"""The limiter of readings: one process with a clock moved by hand, and several that share a limit."""

from __future__ import annotations

import pytest

from errors import RateLimited
from tasks.client import rate_limiter
from tasks.client.rate_limiter import (
    IDLE_S,
    MAX_BUCKETS,
    MAX_DEBT_S,
    Bucket,
    RateLimiter,
    key_rate,
    tenant_rate,
)
from tests.processes import settings_for
from tests.unit.consumers.doubles import Clock

RATE = 10


class Process:
    """A limiter whose counts are never shared."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.limiter = RateLimiter(settings_for(), self.clock)

    def taken(self, asked: int, *rates: rate_limiter.Rate) -> int:
        """How many of so many readings at this moment are within the limits."""
        taken = 0
        for _ in range(asked):
            try:
                self.limiter.take(rates)
            except RateLimited:
                continue
            taken += 1
        return taken


@pytest.mark.owasp("API4", "a tenant gets its readings a second and no more")
def test_a_second_holds_a_second_of_readings() -> None:
    process, rate = Process(), tenant_rate("acme", RATE)
    assert process.taken(3 * RATE, rate) == RATE
    process.clock.now += 0.5
    assert process.taken(3 * RATE, rate) == RATE // 2
    process.clock.now += 3600
    assert process.taken(3 * RATE, rate) == RATE
    total = 0
    for _ in range(100):
        process.clock.now += 0.1
        total += process.taken(5, rate)
    assert total == 10 * RATE


def test_a_reading_in_time_is_never_refused() -> None:
    process, rate = Process(), tenant_rate("acme", 3)
    for _ in range(1000):
        assert process.taken(1, rate) == 1
        process.clock.now += 1 / 3


def test_a_refusal_says_which_limit_and_when_to_come_back() -> None:
    process = Process()
    rates = key_rate("1a2b", 2), tenant_rate("acme", RATE)
    states = process.limiter.take(rates)
    assert [(state.name, state.quota, state.left) for state in states] == [
        ("key-readings", 2, 1),
        ("tenant-readings", RATE, RATE - 1),
    ]
    process.limiter.take(rates)
    with pytest.raises(RateLimited) as caught:
        process.limiter.take(rates)
    assert caught.value.limit == "key-readings"
    assert caught.value.retry_after_s == 1
    assert str(caught.value) == "The limit key-readings is reached: 2 readings a second."
    # The refused reading took nothing of the tenant's limit either.
    assert [(state.name, state.left) for state in caught.value.limits] == [
        ("key-readings", 0),
        ("tenant-readings", RATE - 2),
    ]


def test_keys_and_tenants_are_counted_apart() -> None:
    process = Process()
    assert process.taken(99, tenant_rate("a", RATE)) == RATE
    assert process.taken(99, tenant_rate("b", RATE)) == RATE
    assert process.taken(99, tenant_rate(None, RATE)) == RATE
    assert process.taken(99, key_rate("a", RATE)) == RATE


def test_a_changed_limit_counts_at_once() -> None:
    process = Process()
    assert process.taken(99, key_rate("a", RATE)) == RATE
    process.clock.now += 1
    assert process.taken(99, key_rate("a", 2)) == 2
    process.clock.now += 1
    assert process.taken(999, key_rate("a", 50)) == 50


@pytest.mark.owasp("API4", "a caller that names many tenants does not fill the memory")
def test_many_tenants_take_no_more_memory_than_the_table() -> None:
    process = Process()
    for number in range(MAX_BUCKETS + 500):
        assert process.taken(1, tenant_rate(f"t{number}", 1)) == 1
    assert len(process.limiter._buckets) == MAX_BUCKETS
    assert process.taken(1, tenant_rate(f"t{MAX_BUCKETS}", 1)) == 0  # a recent one is still known
    process.clock.now += IDLE_S + 1
    process.limiter.reconcile()
    assert not process.limiter._buckets


class Fleet:
    """Processes that share a limit through a bucket like that in Redis, each at its moment of a second."""

    def __init__(self, processes: int, rate: int = RATE) -> None:
        self.now = 0.0
        self.rate = rate
        self.shared_tokens, self.shared_at, self.asked = float(rate), 0.0, 0
        self.shares_counts = True
        self.buckets = [Bucket(rate, 0.0) for _ in range(processes)]
        self._next = [1.0 + number / processes for number in range(processes)]

    def run(self, seconds: float, demand: dict[int, float]) -> list[int]:
        """Readings taken by each process, of `demand` a second by process."""
        taken = [0] * len(self.buckets)
        owed = dict.fromkeys(demand, 0.0)
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += 0.01
            for number, per_second in demand.items():
                owed[number] += per_second * 0.01
                while owed[number] >= 1:
                    owed[number] -= 1
                    taken[number] += self._take(self.buckets[number])
            for number, bucket in enumerate(self.buckets):
                if self.now >= self._next[number]:
                    self._next[number] += 1.0
                    self._reconcile(bucket)
        return taken

    def _take(self, bucket: Bucket) -> bool:
        bucket.advance(self.now)
        bucket.asked += 1
        if bucket.wait_s:
            return False
        bucket.tokens -= 1
        bucket.taken += 1
        return True

    def _reconcile(self, bucket: Bucket) -> None:
        taken, asked = bucket.taken, bucket.asked
        bucket.taken = bucket.asked = 0
        if not self.shares_counts:
            bucket.forget_others(self.now)
            return
        elapsed = self.now - bucket.reconciled_at
        before = self.shared_tokens + (self.now - self.shared_at - elapsed) * self.rate
        tokens = min(self.rate, min(self.rate, before) + elapsed * self.rate - taken)
        self.shared_tokens, self.shared_at = max(-MAX_DEBT_S * self.rate, tokens), self.now
        self.asked += asked
        bucket.reconcile(self.now, asked, self.shared_tokens, self.asked)


@pytest.mark.owasp("API4", "more processes are not more readings")
@pytest.mark.parametrize("processes", [2, 4, 8])
def test_processes_together_hold_the_limit(processes: int) -> None:
    fleet = Fleet(processes, rate=100)
    demand = dict.fromkeys(range(processes), 100.0)
    # Each process may empty a full bucket, and a second's worth, before it knows of the others. The seconds
    # after that make up for it.
    assert sum(fleet.run(1, demand)) <= 2 * 100 * processes
    assert sum(fleet.run(29, demand)) <= 100 * 30
    later = fleet.run(30, demand)
    assert 100 * 29 <= sum(later) <= 100 * 31
    assert min(later) >= 0.9 * sum(later) / processes  # none is left out
    for _ in range(10):
        assert 80 <= sum(fleet.run(1, demand)) <= 120  # and not in bursts


def test_a_process_may_take_all_that_others_leave() -> None:
    fleet = Fleet(4, rate=100)
    fleet.run(5, {0: 1.0, 1: 1.0, 2: 1.0, 3: 90.0})
    assert sum(fleet.run(20, {0: 1.0, 1: 1.0, 2: 1.0, 3: 90.0})) >= 0.98 * 20 * 93
    alone = fleet.run(20, {3: 300.0})
    assert 100 * 19 <= alone[3] <= 100 * 21


def test_a_process_that_is_asked_late_gets_its_share() -> None:
    fleet = Fleet(2, rate=100)
    fleet.run(10, {0: 200.0})
    fleet.run(3, {0: 200.0, 1: 200.0})
    both = fleet.run(20, {0: 200.0, 1: 200.0})
    assert min(both) >= 0.8 * 100 * 20 / 2
    assert sum(both) <= 100 * 21


def test_pulses_at_all_processes_do_not_pass_the_limit() -> None:
    """A caller that is silent until all buckets should be full, then asks all processes at once."""
    fleet = Fleet(5, rate=100)
    taken = 0
    for _ in range(20):
        taken += sum(fleet.run(1, dict.fromkeys(range(5), 100.0)))
        fleet.run(2, {})
    assert taken <= 1.25 * 100 * 60


def test_while_redis_is_away_each_process_counts_by_itself() -> None:
    fleet = Fleet(2, rate=100)
    demand = {0: 200.0, 1: 200.0}
    fleet.run(10, demand)
    fleet.shares_counts = False
    away = fleet.run(20, demand)
    assert min(away) >= 0.9 * 100 * 20
    fleet.shares_counts = True
    fleet.run(5, demand)
    assert 0.9 * 100 * 20 <= sum(fleet.run(20, demand)) <= 100 * 21  # the outage leaves no debt


def test_a_token_is_saved_where_the_share_is_less_than_one() -> None:
    fleet = Fleet(8, rate=5)
    demand = dict.fromkeys(range(8), 5.0)
    fleet.run(10, demand)
    assert 4.5 * 60 <= sum(fleet.run(60, demand)) <= 5 * 61


def test_a_debt_of_all_is_waited_out() -> None:
    bucket = Bucket(RATE, 0.0)
    bucket.reconcile(1.0, 0, -3.0 * RATE, 0)
    assert bucket.wait_s == pytest.approx(3 + 1 / RATE)
    bucket.reconcile(2.0, 5, float(RATE), 3)  # the sum of readings has expired: smaller is not negative
    assert (bucket.refill, bucket.tokens) == (RATE, RATE)
