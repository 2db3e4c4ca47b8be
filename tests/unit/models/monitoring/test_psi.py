from __future__ import annotations

import numpy as np
import pytest

from models.monitoring.psi import PSI_DRIFTED, PSI_LOOK, Distribution, count, psi


def test_the_same_population_is_stable_and_another_is_not() -> None:
    rng = np.random.default_rng(0)
    training = Distribution.of(rng.normal(30, 5, 20_000))
    training = Distribution.from_manifest(training.to_manifest())
    same = psi(training, count(rng.normal(30, 5, 3_000), training.edges))
    hotter = psi(training, count(rng.normal(38, 5, 3_000), training.edges))
    assert same is not None
    assert hotter is not None
    assert same < PSI_LOOK < PSI_DRIFTED < hotter


def test_a_feature_that_goes_missing_drifts() -> None:
    training = Distribution.of(np.arange(1_000.0))
    gone = psi(training, count(np.full(1_000, np.nan), training.edges))
    assert gone is not None
    assert gone > PSI_DRIFTED


def test_a_flag_has_two_bins() -> None:
    training = Distribution.of(np.array([0.0] * 95 + [1.0] * 5))
    assert count(np.array([0.0, 1.0, np.nan]), training.edges).tolist() == [1, 1, 1]


def test_a_feature_nobody_knows() -> None:
    training = Distribution.of(np.full(500, np.nan))
    still = psi(training, count(np.full(500, np.nan), training.edges))
    assert still == pytest.approx(0, abs=1e-3)


def test_counts_of_parts_add_up() -> None:
    values = np.random.default_rng(1).normal(size=1_000)
    training = Distribution.of(values)
    whole = count(values, training.edges)
    parts = count(values[:300], training.edges) + count(values[300:], training.edges)
    np.testing.assert_array_equal(whole, parts)


def test_too_few_rows_say_nothing() -> None:
    training = Distribution.of(np.arange(100.0))
    assert psi(training, count(np.arange(50.0), training.edges)) is None
