"""The simulated fleet looks like the facts it was built on, and is reproducible."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from models.simulation.assumptions import Assumptions, moved
from models.simulation.simulate import Fleet, simulate


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return simulate(500, 365, 42)


def test_failures_a_charger_and_year(fleet: Fleet) -> None:
    # docs/field-facts.md: AC 0.3-0.8, DC 1-3, here 60 % AC; Perth & Kinross 0.92 over both
    assert 0.6 <= len(fleet.failures) / 500 <= 1.7


def test_time_shares(fleet: Fleet) -> None:
    share = fleet.readings["connector_status"].value_counts(normalize=True)
    assert 0.03 <= share["OFFLINE"] <= 0.09  # Stanford: 5.5 % unreachable
    assert 0.015 <= share["FAULTY"] <= 0.08  # Stanford: 6.5 % faulted, median charger 3.0 %
    assert share["UNAVAILABLE"] == pytest.approx(0.009, abs=0.003)  # Stanford: 0.9 %
    assert 0.05 <= share["CHARGING"] <= 0.2  # Paren: 16 % of time for DC


def test_few_chargers_are_unreachable_most(fleet: Fleet) -> None:
    readings = fleet.readings
    offline = (readings["connector_status"] == "OFFLINE").groupby(readings["charger_id"]).mean()
    assert offline.median() < 0.6 * offline.mean()  # Stanford: median 2.3 %, mean 5.5 %


def test_repairs_take_ten_days(fleet: Fleet) -> None:
    repairs = fleet.maintenance[fleet.maintenance["kind"] == "corrective"]
    failed = fleet.failures.sort_values("timestamp")
    lasted = [
        (
            repairs.loc[(repairs["charger_id"] == who) & (repairs["timestamp"] > when), "timestamp"].min()
            - when
        )
        for who, when in zip(failed["charger_id"][:200], failed["timestamp"][:200], strict=True)
    ]
    days = np.array([one.total_seconds() / 86_400 for one in lasted if one == one])
    assert 7 <= np.median(days) <= 13  # Perth & Kinross: median 10, quartiles 5-18
    assert days.min() >= 1  # a failure lasts at least a day


def test_numbers_are_possible(fleet: Fleet) -> None:
    readings = fleet.readings
    assert (readings["power"].dropna() >= 0).all()
    assert readings["temperature"].dropna().between(-60, 200).all()
    assert readings["temperature"].max() > 85  # some do overheat
    assert readings["temperature"].isna().mean() > 0.05  # sensors drop out, chargers fall silent
    growth = readings.groupby("charger_id")["total_sessions"].apply(
        lambda s: s.dropna().is_monotonic_increasing
    )
    assert growth.all()
    assert readings.groupby("charger_id")["timestamp"].apply(lambda s: s.is_monotonic_increasing).all()


def test_service_helps() -> None:
    without = simulate(400, 180, 9, Assumptions(service_interval_days=1e9))
    with_service = simulate(400, 180, 9, Assumptions(service_interval_days=120))
    assert len(with_service.failures) < 0.8 * len(without.failures)


def test_the_same_seed_gives_the_same_fleet() -> None:
    first, second, other = simulate(5, 10, 1), simulate(5, 10, 1), simulate(5, 10, 2)
    assert first.readings.equals(second.readings)
    assert first.failures.equals(second.failures)
    assert not first.readings.equals(other.readings)


def test_every_assumption_can_be_moved_by_half() -> None:
    usual, other = asdict(Assumptions()), asdict(moved(3))
    factors = {name: other[name] / usual[name] for name in usual}
    assert set(factors) == set(usual)
    for name, factor in factors.items():
        assert factor == pytest.approx(0.5) or factor == pytest.approx(1.5) or other[name] == 0.95, name
    assert moved(3) == moved(3) != moved(4)
