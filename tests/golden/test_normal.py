"""A recording is the same at any time of any day."""

from __future__ import annotations

from tests.golden.normal import Normaliser

COUNTS = {"type": "string", "value": "<counts>"}


def test_counts_of_two_hours_are_recorded_as_one() -> None:
    series = "ml:drift:failure:3:d4d0a79b1dd2"
    found = Normaliser({}).value({f"{series}:498343": COUNTS, f"{series}:498344": COUNTS})
    assert found == {f"{series}:<hour>": COUNTS}


def test_other_names_that_become_equal_are_both_recorded() -> None:
    found = Normaliser({}).value({"a:127.0.0.1:2001": 1, "a:127.0.0.1:2002": 1})
    assert found == {"a:127.0.0.1:<port>": 1, "a:127.0.0.1:<port>'": 1}


def test_the_training_of_a_version_is_masked_however_long_ago() -> None:
    found = Normaliser({}).value({"trained_at": "2024-01-02T03:04:05Z", "timestamp": "2024-01-02T03:04:05Z"})
    assert found == {"trained_at": "<time>", "timestamp": "2024-01-02T03:04:05Z"}
