"""Convert a log of charging sessions to a history that `train` and `score` can read. Offline only.

Each session gives one reading at its end (CHARGING, with its energy and mean power). Each charger gives one
more reading at every midnight between its first and last session (AVAILABLE), so that idle time is covered.
Outages become failures at their start and repairs at their end.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def convert(sessions: Path, outages: Path, out: Path) -> int:
    """Write `readings`, `failures` and `maintenance` into `out`. Returns the number of readings.

    `sessions` needs cp_id, start, end, kwh, dur_h (hours) and bad (rows to drop); `outages` needs cp_id,
    start, end. Times are naive UTC.
    """
    log = pd.read_parquet(sessions)
    log = log[~log["bad"].astype(bool) & log["end"].notna()].sort_values(["cp_id", "end"])
    log["total_sessions"] = log.groupby("cp_id").cumcount() + 1
    hours = log["dur_h"].where(log["dur_h"] > 0)
    ends = pd.DataFrame(
        {
            "charger_id": log["cp_id"].astype(str),
            "timestamp": log["end"],
            "connector_status": "CHARGING",
            "energy_delivered": log["kwh"].clip(lower=0),
            "power": (log["kwh"] / hours).clip(0, 400),
            "total_sessions": log["total_sessions"],
        }
    )
    nights = pd.concat([_nights(str(name), own) for name, own in log.groupby("cp_id")], ignore_index=True)
    readings = pd.concat([ends, nights], ignore_index=True).sort_values(["charger_id", "timestamp"])
    found = pd.read_parquet(outages)
    ids = found["cp_id"].astype(str)
    out.mkdir(parents=True, exist_ok=True)
    tables = {
        "readings": readings,
        "failures": pd.DataFrame({"charger_id": ids, "timestamp": found["start"]}),
        "maintenance": pd.DataFrame({"charger_id": ids, "timestamp": found["end"], "kind": "corrective"}),
    }
    for name, table in tables.items():
        table.to_parquet(out / f"{name}.parquet", index=False)
    return len(readings)


def _nights(name: str, own: pd.DataFrame) -> pd.DataFrame:
    """One charger's midnight readings, with its session counter and the last session's energy."""
    nights = pd.date_range(own["end"].iloc[0].ceil("D"), own["end"].iloc[-1].floor("D"), freq="D")
    last = np.searchsorted(own["end"].to_numpy(), nights.to_numpy(), side="right") - 1
    return pd.DataFrame(
        {
            "charger_id": name,
            "timestamp": nights,
            "connector_status": "AVAILABLE",
            "energy_delivered": own["kwh"].clip(lower=0).to_numpy()[last],
            "power": 0.0,
            "total_sessions": own["total_sessions"].to_numpy()[last],
        }
    )
