"""The simplest rule that ranks chargers: days with an outage among the last 30. Offline only."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.features.columns import STATUS_INDEX, Columns, Floats, Ints
from models.training.labels import DAY_S

COUNTING_RULE: Final = "days with an outage in the last 30"
COUNTED_DAYS: Final = 30
_CHARGER_DAYS: Final = 1 << 32  # more than the days of any history


def outage_days(columns: Columns, rows: Ints) -> Floats:
    """Days with an outage at each row [n]: its own UTC day and the 29 before, up to the row itself.

    An outage is a reading with the status FAULTY or with an error code. `columns` are sorted by charger and
    time. A count is no probability: it only ranks.
    """
    with np.errstate(invalid="ignore"):
        out = (columns.status == STATUS_INDEX["FAULTY"]) | (columns.codes > 0).any(axis=1)
    day = np.floor(columns.time_s / DAY_S).astype(np.int64)
    key = columns.charger * _CHARGER_DAYS + (day - (day.min() if len(day) else 0))
    at = np.flatnonzero(out)
    # The first outage of each day stands for the day, so that no later reading of the day is used.
    at = at[np.diff(key[at], prepend=-1) != 0]
    seen = np.searchsorted(at, rows, side="right")
    before = np.searchsorted(key[at], key[rows] - COUNTED_DAYS, side="right")
    counts: Floats = (seen - before).astype(np.float64)
    return counts
