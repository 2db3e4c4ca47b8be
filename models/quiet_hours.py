"""Find the hour in which a charger is least used, so that planned work costs few sessions."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from models.features.columns import Columns, Ints
from readings.reading import STATUSES

WORKING_HOURS: Final = range(7, 19)  # UTC hours in which a technician comes
MIN_ENTRIES: Final = 20
# By status index. The last entry is for a missing status (`NO_STATUS` is -1).
_BUSY: Final = np.array(
    [*(status in ("CHARGING", "OCCUPIED", "FULLY_CHARGED") for status in STATUSES), False]
)


def quiet_hours(columns: Columns, rows: Ints) -> list[int | None]:
    """The working hour (UTC) with the least use, by history, for the charger of each of `rows`.

    None if there are fewer than `MIN_ENTRIES` entries or the charger is never in use. `rows` are the second
    result of `from_readings`.
    """
    past = np.ones(len(columns), np.bool_)
    past[rows] = False
    known = np.bincount(columns.charger[past], minlength=len(rows))
    if known.max() < MIN_ENTRIES:
        return [None] * len(rows)
    hour = (columns.time_s[past] // 3600 % 24).astype(np.int64)
    at = columns.charger[past] * 24 + hour
    n_entries = np.bincount(at, minlength=len(rows) * 24).reshape(-1, 24)
    n_busy = np.bincount(at, _BUSY[columns.status[past]], len(rows) * 24).reshape(-1, 24)
    overall = n_busy.sum(axis=1) / np.maximum(known, 1)

    def around(hours: Any) -> Any:
        """Counts over three hours around each working hour, cyclic: [rows, working hours]."""
        near = hours + np.roll(hours, 1, axis=1) + np.roll(hours, -1, axis=1)
        return near[:, WORKING_HOURS.start : WORKING_HOURS.stop]

    # the prior is worth 4 readings
    share = (around(n_busy) + 4 * overall[:, None]) / (around(n_entries) + 4)
    # the first hour among those that are equal up to rounding
    best = (share <= share.min(axis=1, keepdims=True) + 1e-12).argmax(axis=1) + WORKING_HOURS.start
    told = (known >= MIN_ENTRIES) & (overall > 0)
    return [int(hour) if tells else None for hour, tells in zip(best, told, strict=True)]
