"""The quiet hour is found for a whole batch as it would be for each charger alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta

from models.features.columns import from_readings
from models.quiet_hours import MIN_ENTRIES, WORKING_HOURS, quiet_hours
from readings.reading import Reading
from tests.unit.models.samples import NOON

Make = Callable[..., Reading]


def test_the_hour_of_each_charger_is_the_least_used_one(reading: Make) -> None:
    rng = random.Random(6)
    readings, histories = [], []
    for index in range(120):
        now = reading(charger_id=f"C{index}")
        busy_share = rng.choice([0.0, 0.1, 0.5, 1.0])
        histories.append(
            [
                now._replace(
                    timestamp=NOON - timedelta(hours=rng.uniform(-20, 600)),
                    connector_status="OCCUPIED" if rng.random() < busy_share else "OFFLINE",
                )
                for _ in range(rng.choice([0, 19, 20, 21, 60, 300]))
            ]
        )
        readings.append(now)
    found = quiet_hours(*from_readings(readings, histories, {}))
    assert found == [alone(now, past) for now, past in zip(readings, histories, strict=True)]
    assert None in found
    assert len(set(found)) > 6


def alone(reading: Reading, history: Sequence[Reading]) -> int | None:
    older = [entry for entry in history if entry.timestamp < reading.timestamp]
    busy = [entry.connector_status == "OCCUPIED" for entry in older]
    if len(older) < MIN_ENTRIES or not any(busy):
        return None
    overall = sum(busy) / len(older)

    def share(hour: int) -> float:
        near = [at for at, entry in enumerate(older) if (entry.timestamp.hour - hour) % 24 in (0, 1, 23)]
        return (sum(busy[at] for at in near) + 4 * overall) / (len(near) + 4)

    least = min(map(share, WORKING_HOURS))
    return next(hour for hour in WORKING_HOURS if share(hour) <= least + 1e-12)
