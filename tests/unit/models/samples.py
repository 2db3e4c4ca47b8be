"""What the tests of models share: a moment, and the versions that the project carries."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from readings.reading import STATUSES, Reading

VERSIONS = Path(__file__).resolve().parents[3] / "models" / "versions"
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def varied(reading: Callable[..., Reading], n: int, seed: int = 1) -> list[Reading]:
    """`n` readings of different chargers, of all statuses, with fields missing here and there."""
    rng = random.Random(seed)
    codes = ["GroundFailure", "HighTemperature", "WeakSignal", "ReaderFailure", "OtherError", "X-17"]

    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.15 else value

    return [
        reading(
            charger_id=f"EVZ-{index:04d}",
            connector_status=rng.choice(STATUSES),
            temperature=maybe(round(rng.uniform(-15, 95), 1)),
            power=maybe(round(rng.uniform(0, 150), 1)),
            energy_delivered=maybe(round(rng.expovariate(1 / 12), 2)),
            uptime_hours=maybe(round(rng.expovariate(1 / 300), 1)),
            total_sessions=maybe(rng.randrange(12_000)),
            error_codes=maybe(tuple(rng.sample(codes, rng.choice([0, 0, 0, 1, 1, 2])))),
            last_maintenance=maybe(NOON - timedelta(days=rng.uniform(0, 400))),
        )
        for index in range(n)
    ]
