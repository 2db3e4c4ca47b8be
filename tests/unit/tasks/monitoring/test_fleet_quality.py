"""The expected quality counts chargers with a verdict alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

from models.monitoring.expected_quality import expected_quality
from tasks.monitoring.fleet_quality import probabilities
from tasks.storage.fleet_columns import FleetColumns


def test_chargers_with_attributes_alone_have_no_probability() -> None:
    risk = np.array([*np.linspace(0.01, 0.9, 60), np.nan, 0.5])
    status = np.zeros(62, np.int32)
    status[-1] = 7  # FAULTY
    fleet = SimpleNamespace(
        rows=lambda since_ms: np.arange(62),
        codes=lambda name: status,
        numbers=lambda name: risk,
        vocabularies={"status": SimpleNamespace(codes=lambda texts: [7])},
    )
    found = probabilities(cast(FleetColumns, fleet), since_ms=0)
    assert found.tolist() == risk[:60].tolist()
    assert expected_quality(found, 0.5).chargers == 60
