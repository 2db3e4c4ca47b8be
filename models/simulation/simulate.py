"""Simulate a fleet's history: readings, failures with component and cause, maintenance, and attributes.

`models/simulation/world.py` simulates the fleet. This module converts its records to the tables that `train`
reads. Offline only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.features.columns import Floats
from models.simulation import assumptions as facts
from models.simulation.assumptions import Assumptions
from models.simulation.equipment import equipment
from models.simulation.error_codes_sent import codes_of
from models.simulation.world import START_S, STEP_DAYS, World
from readings.reading import STATUSES

Objects = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Fleet:
    """A simulated history; the columns are those that `train` reads."""

    readings: pd.DataFrame
    failures: pd.DataFrame
    maintenance: pd.DataFrame
    # The attributes of each charger. Training does not read them.
    chargers: pd.DataFrame

    def write(self, folder: Path, *, suffix: str = "parquet") -> None:
        """Write `readings`, `failures` and `maintenance` into `folder` as Parquet or CSV.

        `chargers` is a CSV in any case: `POST /api/v1/chargers` takes it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("readings", "failures", "maintenance"):
            table: pd.DataFrame = getattr(self, name)
            if suffix == "parquet":
                table.to_parquet(folder / f"{name}.parquet", index=False)
            else:
                table.to_csv(folder / f"{name}.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ")
        self.chargers.to_csv(folder / "chargers.csv", index=False)


def simulate(chargers: int, days: int, seed: int, assumed: Assumptions | None = None) -> Fleet:
    """Simulate `chargers` for `days`, from 2025-01-01. Equal arguments give equal fleets."""
    world = World(chargers, np.random.default_rng(seed), assumed or Assumptions())
    world.burn_in()
    for step in range(days * 2):
        world.step(step)
    return _fleet(world, seed)


def description(chargers: int, days: int, seed: int) -> str:
    """How manifests and reports name the fleet that `simulate` makes of the same arguments."""
    return f"simulated fleet, {chargers} chargers, {days} days, seed {seed}"


def _fleet(world: World, seed: int) -> Fleet:
    steps = len(world.seen)

    def column(name: str) -> Floats:
        stacked = np.stack([seen[name] for seen in world.seen], axis=1)
        return np.asarray(stacked, np.float64).reshape(-1)

    ids = np.array([f"SIM-{index:05d}" for index in range(world.n)], dtype=object)
    masks, inverse = np.unique(column("codes").astype(np.int64), return_inverse=True)
    texts = np.array([None if mask < 0 else codes_of(int(mask)) for mask in masks], dtype=object)
    readings = pd.DataFrame(
        {
            "charger_id": np.repeat(ids, steps),
            "timestamp": _times(column("at")),
            "connector_status": np.array(STATUSES, dtype=object)[column("status").astype(np.int64)],
            "energy_delivered": np.round(column("energy"), 2),
            "power": np.round(column("power"), 2),
            "temperature": np.round(column("temperature"), 1),
            "error_codes": texts[inverse],
            "uptime_hours": np.round(column("uptime"), 1),
            "total_sessions": column("sessions"),
            "last_maintenance": _times(column("serviced")),
        }
    )
    horizon = steps * STEP_DAYS
    return Fleet(
        readings,
        _events(world.failed, ids, horizon, ("component", "cause")),
        _events(world.serviced, ids, horizon, ("component", "kind")),
        equipment(world, ids.tolist(), seed, end_day=horizon),
    )


def _events(
    notes: list[pd.DataFrame],
    ids: Objects,
    horizon: float,
    columns: tuple[str, str],
) -> pd.DataFrame:
    if not notes:
        return pd.DataFrame(columns=["charger_id", "timestamp", *columns])
    table = pd.concat(notes, ignore_index=True)
    table = table[table["day"] <= horizon]
    component = np.array([*facts.COMPONENTS, None], dtype=object)[table["component"].to_numpy()]
    cause = np.array([*facts.CAUSES, None], dtype=object)[table["component"].to_numpy()]
    events = pd.DataFrame(
        {
            "charger_id": ids[table["charger"].to_numpy()],
            "timestamp": _times(table["day"].to_numpy()),
            "component": component,
            columns[1]: cause if columns[1] == "cause" else table["kind"].to_numpy(),
        }
    )
    return events.sort_values(["charger_id", "timestamp"], ignore_index=True)


def _times(days: Floats) -> pd.DatetimeIndex:
    milliseconds = np.round((START_S + days * 86_400) * 1000).astype(np.int64)
    return pd.to_datetime(milliseconds, unit="ms", utc=True)
