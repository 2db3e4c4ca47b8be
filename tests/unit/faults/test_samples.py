"""The rule by which a series of samples is flat, grows, or is too short to judge."""

from __future__ import annotations

import random

import pytest

from tests.faults.causes import FAULTS
from tests.faults.samples import EVERY_S, WARM_UP_S, Sample, Trend, trends
from tests.faults.soak import Plan

NOISE_MB = 3.0
LEVEL_MB = 300.0


def samples(
    minutes: float, *, rise_an_hour: float = 0.0, life: str = "1", start_s: float = 0.0, unit: str = "MB"
) -> list[Sample]:
    """A noisy series of one process that rises by a share an hour."""
    chance = random.Random(3)
    return [
        Sample(
            start_s + number * EVERY_S,
            "web: memory",
            unit,
            life,
            LEVEL_MB * (1 + rise_an_hour * number * EVERY_S / 3600) + chance.uniform(-NOISE_MB, NOISE_MB),
            is_quiet=True,
        )
        for number in range(round(minutes * 60 / EVERY_S))
    ]


def trend(found: list[Sample]) -> Trend:
    (only,) = trends(found)
    return only


@pytest.mark.parametrize("rise", [0.0, 0.01, -0.2])
def test_noise_and_decline_are_flat(rise: float) -> None:
    assert trend(samples(60, rise_an_hour=rise)).verdict == "flat"


@pytest.mark.parametrize("rise", [0.05, 0.5])
def test_growth_is_found(rise: float) -> None:
    found = trend(samples(60, rise_an_hour=rise))
    assert found.verdict == "GROWS"
    assert found.slope == pytest.approx(rise, rel=0.3)
    assert "GROWS" in found.line()


def test_growth_between_restarts_is_found() -> None:
    lives = [samples(20, rise_an_hour=0.3, life=str(n), start_s=1200.0 * n) for n in range(3)]
    assert trend([sample for life in lives for sample in life]).verdict == "GROWS"


def test_a_restart_is_no_growth() -> None:
    low = samples(30, life="1")
    high = [sample._replace(value=sample.value + 50) for sample in samples(30, life="2", start_s=1800)]
    found = trend(low + high)
    assert found.verdict == "flat"
    assert found.last > found.first


def test_the_first_minutes_of_a_process_do_not_count() -> None:
    loading = [sample._replace(value=100.0) for sample in samples(WARM_UP_S / 60)]
    assert trend(loading + samples(60, start_s=WARM_UP_S)).verdict == "flat"


def test_samples_of_a_fault_do_not_count() -> None:
    found = samples(60)
    noisy = [
        sample._replace(value=900.0, is_quiet=False) if number > 300 else sample
        for number, sample in enumerate(found)
    ]
    assert trend(noisy).last < LEVEL_MB + NOISE_MB


def test_a_short_run_is_not_judged() -> None:
    assert trend(samples(5, rise_an_hour=3)).verdict == "too short"


def test_a_few_units_more_are_flat() -> None:
    few = [sample._replace(value=10 + number / 360) for number, sample in enumerate(samples(60, unit="keys"))]
    assert trend(few).slope > 0.02
    assert trend(few).verdict == "flat"


def test_in_the_second_half_faults_end_no_process() -> None:
    plan = Plan(seed=3, apache=False)
    names = {plan.choose(is_first_half=True) for _ in range(len(FAULTS))}
    assert "Redis killed, back with data" in names
    assert "Redis killed, back empty" not in names
    assert "Kafka killed, back after 10 s" not in names  # the embedded broker keeps nothing
    assert plan.choose(is_first_half=False) is None
    for name in ("worker of batch killed every 2 s", "Redis read-only"):
        plan.note(name, ended_processes=name.startswith("worker"))
    assert {plan.choose(is_first_half=False) for _ in range(20)} == {"Redis read-only"}


def test_a_seed_repeats_the_faults() -> None:
    one, other = Plan(seed=5, apache=True), Plan(seed=5, apache=True)
    assert [one.choose(is_first_half=True) for _ in range(30)] == [
        other.choose(is_first_half=True) for _ in range(30)
    ]
