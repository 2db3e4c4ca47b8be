"""A window of readings that a version was trained on is recognised by fleet and period."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from models.evaluation.training_period import overlap, training_period

REAL: dict[str, Any] = {
    "trained_on": "history fleet",
    "simulated": False,
    "training_data": {"from": "2026-01-01T00:00:00.000Z", "to": "2026-06-30T12:00:00.000Z"},
}
SIMULATED = REAL | {"trained_on": "simulated fleet, 10 chargers, 365 days, seed 1", "simulated": True}
OTHER_SEED = {"trained_on": "simulated fleet, 10 chargers, 365 days, seed 2", "simulated": True}


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def judged(manifest: dict[str, Any], fleet: dict[str, Any], since: str, end: str) -> str:
    return overlap(manifest, fleet, seconds(since), seconds(end))


@pytest.mark.parametrize(
    ("since", "end"),
    [("2026-02-01", "2026-03-01"), ("2026-06-30T12:00", "2026-08-01"), ("2025-06-01", "2026-01-01")],
    ids=["within", "last reading", "first reading"],
)
def test_a_window_with_a_reading_of_the_training_period_overlaps_it(since: str, end: str) -> None:
    said = judged(REAL, REAL, since, end)
    assert said.startswith(
        "was trained on 2026-01-01T00:00:00.000Z to 2026-06-30T12:00:00.000Z, and the window "
    )


@pytest.mark.parametrize(("since", "end"), [("2026-07-01", "2026-08-01"), ("2025-06-01", "2025-12-31")])
def test_a_window_before_or_after_overlaps_nothing(since: str, end: str) -> None:
    assert judged(REAL, REAL, since, end) == ""


@pytest.mark.parametrize(
    ("manifest", "fleet"),
    [(SIMULATED, REAL), (REAL, SIMULATED), (SIMULATED, OTHER_SEED)],
    ids=["simulated version", "simulated fleet", "another seed"],
)
def test_another_fleet_of_the_same_period_overlaps_nothing(
    manifest: dict[str, Any], fleet: dict[str, Any]
) -> None:
    assert judged(manifest, fleet, "2026-02-01", "2026-03-01") == ""


def test_the_same_simulated_fleet_overlaps() -> None:
    assert judged(SIMULATED, SIMULATED, "2026-02-01", "2026-03-01")


def test_a_real_fleet_under_another_name_counts_as_the_same() -> None:
    assert judged(REAL, REAL | {"trained_on": "history copy"}, "2026-02-01", "2026-03-01")


@pytest.mark.parametrize("data", [None, {}, {"from": "2026-01-01"}, {"from": 1, "to": 2}])
def test_a_version_that_states_no_period_overlaps_nothing(data: dict[str, Any] | None) -> None:
    manifest = {"trained_on": "history fleet", "training_data": data or {}}
    assert training_period(manifest) is None
    assert judged(manifest, REAL, "2026-02-01", "2026-03-01") == ""
    assert training_period({}) is None
