"""Scores of another version or program for the same readings, to compare a version with. Offline only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from models.features.columns import Floats, Ints
from models.horizon_days import HORIZON_NAMES
from models.training.history import History, sort_key
from models.training.history_table import BadHistory, Table

BASELINE: Final = "baseline"


def read_scores(path: Path, history: History) -> Floats:
    """Scores of a table by reading of the history [n, horizons]; NaN where the table has none.

    The table is what `python -m models score` writes: `charger_id`, `timestamp`, and one or more of `p_1d`,
    `p_7d`, `p_30d`. A horizon without a column is NaN throughout. Rows that are no reading of the history are
    ignored. Raises `BadHistory`, also for a reading that is in the table twice.
    """
    table = Table.at(path, {})
    names = [f"p_{name}" for name in HORIZON_NAMES]
    if not any(table.has(name) for name in names):
        raise BadHistory(f"{path}: has no column {', '.join(names)}")
    known = {name: index for index, name in enumerate(history.charger_ids)}
    charger = np.array([known.get(name, -1) for name in table.text("charger_id")], np.int64)
    time_s = table.times("timestamp", needed=True)
    scores = np.column_stack([table.finite(name) for name in names])
    readings = sort_key(history.columns.charger, history.columns.time_s)
    key = sort_key(charger, time_s)
    row = _found(readings, key, charger)
    twice = pd.Series(np.where(row < 0, -1 - np.arange(len(row)), row)).duplicated().to_numpy()
    table.refuse("timestamp", twice, "has scores in an earlier row too")
    result = np.full((len(readings), len(names)), np.nan)
    result[row[row >= 0]] = scores[row >= 0]
    # A moment may have several readings. All of them have its scores.
    first = np.searchsorted(readings, readings, side="left")
    return result[first]


def _found(readings: Ints, key: Ints, charger: Ints) -> Ints:
    """The first reading with each key, or -1."""
    at = np.minimum(np.searchsorted(readings, key, side="left"), len(readings) - 1)
    found: Ints = np.where((charger >= 0) & (readings[at] == key), at, -1)
    return found
