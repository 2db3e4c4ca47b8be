"""`Prefer: wait=N` among other preferences, and what is none."""

from __future__ import annotations

import pytest

from web.api.batch import preferred_wait_s


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("wait=5", 5),
        ("WAIT = 5", 5),
        ('wait="5"', 5),
        ("wait=00005", 5),
        ("wait=99999999999", 99999999999),
        ("respond-async, wait=5", 5),
        ("wait=5; foo=bar", 5),
        ('foo="a, b"; c=d, wait=5', 5),
        ("wait=5, wait=0", 5),
        ("wait=0, wait=5", 0),
        ("", 0),
        ("wait", 0),
        ("wait=", 0),
        ("wait=-5", 0),
        ("wait=2x", 0),
        ("wait=1.5", 0),
        ("wait=\N{SUPERSCRIPT TWO}", 0),
        ("await=5", 0),
        ("foo; wait=5", 0),
        ('foo="a, wait=5"', 0),
        ('wait="5', 0),
    ],
)
def test_the_first_wait_counts_if_it_can_be_read(header: str, wait_s: float) -> None:
    assert preferred_wait_s(header) == wait_s
