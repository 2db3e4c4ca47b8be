from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from models.scorer import Scorer
from readings.reading import Reading
from settings import Costs
from tests.unit.models.samples import NOON, VERSIONS

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # see models/__main__.py


@pytest.fixture(scope="session")
def costs() -> Costs:
    return Costs("USD", 450.0, 120.0, 900.0, 4.8, 1.5, 2.0, 240.0)


@pytest.fixture(scope="session")
def scorer(costs: Costs) -> Scorer:
    return Scorer.load(VERSIONS, costs)


@pytest.fixture(scope="session")
def reading() -> Callable[..., Reading]:
    """Makes an ordinary reading of a charging 50 kW charger, with what a test wants different."""
    ordinary = Reading(
        charger_id="EVZ-0042",
        connector_status="CHARGING",
        timestamp=NOON,
        energy_delivered=18.4,
        power=47.5,
        temperature=40.0,
        error_codes=(),
        uptime_hours=412.0,
        total_sessions=5120,
        last_maintenance=datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
    )

    def make(**changes: Any) -> Reading:
        return ordinary._replace(**changes)

    return make
