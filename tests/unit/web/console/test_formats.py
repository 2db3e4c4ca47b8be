"""Values as people read them."""

from __future__ import annotations

import pytest

from web.console.formats import duration


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
