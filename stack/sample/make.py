"""Create the sample from the cleaned table of the council's sessions.

    python -m stack.sample.make sessions.parquet

The input has one row per session: `cp_id`, `start` and `end` (local time), `kwh`, `site`, `model`, and `bad`.
`bad` marks sessions that were never closed or have impossible values. The source is in README.md.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pandas as pd

from stack.sample.sessions import CHARGERS_FILE, SESSIONS_FILE

LAST_DAYS = 365  # of three years; a charger that closed earlier keeps its last sessions
AT_LEAST = 15
MOST_KW = 60.0  # the fastest chargers have 50 kW; rounding to whole minutes can raise the computed power


def main(table: Path) -> None:
    """Write `chargers.csv` and `sessions.csv.gz` beside this file."""
    sessions = pd.read_parquet(table)
    sessions = sessions[~sessions["bad"] & (sessions["end"] > sessions["start"])]
    hours = (sessions["end"] - sessions["start"]).dt.total_seconds() / 3600
    sessions = sessions[sessions["kwh"] / hours <= MOST_KW]
    sessions = sessions.sort_values(["cp_id", "end"], kind="stable")
    sessions["charger_id"] = "PKC-" + sessions["cp_id"].astype(str)
    sessions["session_number"] = sessions.groupby("cp_id").cumcount() + 1
    sessions["minutes"] = ((sessions["end"] - sessions["start"]).dt.total_seconds() / 60).round().astype(int)
    local = sessions["end"].dt.tz_localize("Europe/London", ambiguous=True, nonexistent="shift_forward")
    sessions["ended_at"] = local.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%MZ")

    from_the_end = sessions.groupby("cp_id").cumcount(ascending=False)
    recent = sessions["end"] >= sessions["end"].max() - pd.Timedelta(days=LAST_DAYS)
    kept = sessions[recent | (from_the_end < AT_LEAST)]

    columns = ["charger_id", "ended_at", "minutes", "kwh", "session_number"]
    text = kept[columns].to_csv(index=False, lineterminator="\n")
    # No time stamp in the file: equal input gives equal bytes.
    SESSIONS_FILE.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    chargers = kept.drop_duplicates("charger_id", keep="last")[["charger_id", "site", "model"]]
    chargers.to_csv(CHARGERS_FILE, index=False, lineterminator="\n")
    print(f"{len(kept):,} sessions of {len(chargers)} chargers, {SESSIONS_FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
