"""A chunk is a quarter of a second's work, by what the chunks of its kind took lately."""

from __future__ import annotations

from typing import cast

import pytest
from redis import Redis

from tasks.jobs.chunk_size import CHUNK_S, EXPIRY_S, FIRST_ROW_S, MIN_ROWS, SMOOTHING, ChunkSizer
from tests.redis_by_hand import HandClock, RedisByHand

MOST_ROWS = 5_000
MANY = 1_000_000


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def sizer(clock: HandClock) -> ChunkSizer:
    return ChunkSizer(cast(Redis, RedisByHand(clock)), MOST_ROWS)


def size(sizer: ChunkSizer, kind: str = "failure") -> int:
    return sizer.chunk_rows(kind, rows=MANY, processes=2)


def test_the_first_job_goes_by_a_slow_machine(sizer: ChunkSizer) -> None:
    assert size(sizer) == int(CHUNK_S / FIRST_ROW_S)


def test_a_measured_row_sets_the_size_of_its_kind_alone(sizer: ChunkSizer) -> None:
    sizer.note("failure", rows=1_000, seconds=0.1)
    assert size(sizer) == 2_500
    assert size(sizer, "anomaly") == int(CHUNK_S / FIRST_ROW_S)


def test_new_chunks_are_weighed_against_those_before(sizer: ChunkSizer) -> None:
    sizer.note("failure", rows=1_000, seconds=0.1)
    sizer.note("failure", rows=1_000, seconds=0.2)
    row_s = (1 - SMOOTHING) * 100e-6 + SMOOTHING * 200e-6
    assert size(sizer) == int(CHUNK_S / row_s)


def test_sizes_settle_on_a_speed_that_lasts(sizer: ChunkSizer) -> None:
    sizer.note("failure", rows=1_000, seconds=1.0)
    for _ in range(40):
        sizer.note("failure", rows=1_000, seconds=0.1)
    assert size(sizer) == pytest.approx(2_500, rel=0.01)


def test_a_chunk_of_few_rows_says_nothing(sizer: ChunkSizer) -> None:
    sizer.note("failure", rows=MIN_ROWS - 1, seconds=60.0)
    assert size(sizer) == int(CHUNK_S / FIRST_ROW_S)


def test_a_size_has_bounds(sizer: ChunkSizer) -> None:
    sizer.note("failure", rows=MIN_ROWS, seconds=0.0)
    assert size(sizer) == MOST_ROWS
    sizer.note("anomaly", rows=MIN_ROWS, seconds=3_600.0)
    assert size(sizer, "anomaly") == MIN_ROWS


def test_all_processes_get_some_of_a_small_job(sizer: ChunkSizer) -> None:
    assert sizer.chunk_rows("failure", rows=601, processes=3) == 201
    assert sizer.chunk_rows("failure", rows=12, processes=3) == MIN_ROWS


def test_no_chunk_is_larger_than_the_setting_where_that_is_small(clock: HandClock) -> None:
    assert size(ChunkSizer(cast(Redis, RedisByHand(clock)), 20)) == 20


def test_a_speed_is_forgotten_a_day_after_the_last_chunk(sizer: ChunkSizer, clock: HandClock) -> None:
    sizer.note("failure", rows=1_000, seconds=0.1)
    clock.now += EXPIRY_S - 1
    assert size(sizer) == 2_500
    sizer.note("failure", rows=1_000, seconds=0.1)
    clock.now += EXPIRY_S - 1
    assert size(sizer) == 2_500
    clock.now += 1
    assert size(sizer) == int(CHUNK_S / FIRST_ROW_S)
