"""A table of a fleet's readings, for measuring and testing batch jobs.

Each row is of a different charger, with ordinary values. Like real fleets it has gaps, error codes and
chargers out of service. The same seed gives the same table.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

NOON_US: Final = int(datetime(2026, 5, 4, 12, 0, tzinfo=UTC).timestamp() * 1e6)
DAY_US: Final = 86_400_000_000
STATUSES: Final = ("AVAILABLE", "CHARGING", "OCCUPIED", "UNAVAILABLE", "OFFLINE", "FAULTY", "FULLY_CHARGED")
STATUS_SHARES: Final = (0.46, 0.27, 0.13, 0.03, 0.04, 0.02, 0.05)
CODES: Final = ("HighTemperature", "ReaderFailure", "WeakSignal", "GroundFailure", "E-1101", "NoError")
MISSING: Final = 0.03
WITH_CODES: Final = 0.06
POWERS_KW: Final = (7.2, 11.0, 22.0, 50.0, 150.0)


def fleet_table(rows: int, seed: int = 1) -> pa.Table:
    """Return `rows` readings in the contract's columns."""
    rng = np.random.default_rng(seed)
    status = rng.choice(len(STATUSES), rows, p=STATUS_SHARES)
    charging = status == STATUSES.index("CHARGING")
    power_kw = rng.choice(POWERS_KW, rows) * charging
    ages_us = (rng.random(rows) * 2 * DAY_US).astype(np.int64)
    serviced_us = NOON_US - (rng.random(rows) * 400 * DAY_US).astype(np.int64) - 3 * DAY_US
    moment = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "charger_id": pa.array([f"EVZ-{number:07d}" for number in range(rows)]),
            "connector_status": pa.DictionaryArray.from_arrays(
                pa.array(status, pa.int32()), pa.array(STATUSES)
            ).dictionary_decode(),
            "energy_delivered": _with_gaps(rng, rng.exponential(15.0, rows).round(2)),
            "power": _with_gaps(rng, power_kw.round(1)),
            "temperature": _with_gaps(rng, (rng.normal(24, 9, rows) + 14 * charging).round(1)),
            "error_codes": _codes(rng, rows),
            "uptime_hours": _with_gaps(rng, rng.exponential(300.0, rows).round(1)),
            "total_sessions": _with_gaps(rng, rng.integers(0, 9000, rows)),
            "last_maintenance": _with_gaps(rng, serviced_us, moment),
            "timestamp": pa.array(NOON_US - ages_us, moment),
        }
    )


def _with_gaps(rng: np.random.Generator, values: Any, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(values, kind, mask=rng.random(len(values)) < MISSING)


def _codes(rng: np.random.Generator, rows: int) -> pa.Array:
    """Return lists of error codes, most of them empty."""
    counts = np.where(rng.random(rows) < WITH_CODES, rng.integers(1, 3, rows), 0)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    picked = pa.DictionaryArray.from_arrays(
        pa.array(rng.integers(0, len(CODES), int(offsets[-1])), pa.int32()), pa.array(CODES)
    )
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), picked.dictionary_decode())
