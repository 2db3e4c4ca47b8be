"""When a charger is least in use, so that planned work costs it few sessions."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from models.features.columns import Columns, Ints
from readings.reading import STATUSES

WORKING_HOURS: Final = range(7, 19)  # UTC hours in which a technician comes
MIN_ENTRIES: Final = 20
# By status; the last stands for none (`NO_STATUS` is -1).
_BUSY: Final = np.array(
    [*(status in ("CHARGING", "OCCUPIED", "FULLY_CHARGED") for status in STATUSES), False]
)


def quiet_hours(columns: Columns, rows: Ints) -> list[int | None]:
    """The working hour (UTC) in which the charger of each of `rows` is least in use, by its history there.

    None where too little is known, or where it is never in use. `rows` are as `from_readings` gives them.
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
        """With an hour more on each side, round the clock; the working hours of it."""
        near = hours + np.roll(hours, 1, axis=1) + np.roll(hours, -1, axis=1)
        return near[:, WORKING_HOURS.start : WORKING_HOURS.stop]

    # 4 readings' worth of prior
    share = (around(n_busy) + 4 * overall[:, None]) / (around(n_entries) + 4)
    # the first of those that differ by no more than rounding
    best = (share <= share.min(axis=1, keepdims=True) + 1e-12).argmax(axis=1) + WORKING_HOURS.start
    told = (known >= MIN_ENTRIES) & (overall > 0)
    return [int(hour) if tells else None for hour, tells in zip(best, told, strict=True)]
