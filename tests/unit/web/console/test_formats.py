"""Values as people read them."""

from __future__ import annotations

import pytest

from web.console.formats import costs, duration, odds


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "–"),
        (0.0, "less than a second"),
        (1.9, "1 second"),
        (59.9, "59 seconds"),
        (60.0, "1 minute"),
        (3_599.0, "59 minutes"),
        (3_600.0, "1 hour"),
        (12_060.0, "3 hours 21 minutes"),
        (90_000.0, "1 day 1 hour"),
        (86_400.0 * 1_200, "1,200 days"),
    ],
)
def test_a_duration_has_one_unit_or_two(seconds: float | None, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        ({}, "0 EUR"),
        ({"EUR": 0.0}, "0 EUR"),
        ({"EUR": 1_200.4, None: 100.0}, "1,300 EUR"),
        ({"EUR": 12.0, "USD": 3.0}, "12 EUR and 3 USD"),
        ({"USD": 3.0}, "3 USD"),
    ],
)
def test_costs_in_different_currencies_are_not_added_up(sums: dict[str | None, float], expected: str) -> None:
    assert costs(sums, "EUR") == expected


def test_odds_are_the_exponential_of_a_weight() -> None:
    found = [odds(weight) for weight in (0.0, 0.6931, -0.6931, 2.9658, 1e6)]
    assert found == ["1.00", "2.00", "0.50", "19", "485,165,195"]
