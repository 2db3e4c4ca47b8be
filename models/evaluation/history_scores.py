"""Score a window of a history, each reading with only older data. Offline only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from models.failure import FailureModel
from models.features.frame import compute
from models.horizon_days import HORIZON_NAMES
from models.training.history import load
from models.training.history_table import NoReadings

CHUNK_ROWS = 100_000


def score_window(
    model: FailureModel,
    folder: Path,
    mapping: Mapping[str, Sequence[str]],
    since: datetime,
    to: datetime,
) -> pd.DataFrame:
    """`charger_id, timestamp, p_1d, p_7d, p_30d` of each reading in [since, to].

    Raises `BadHistory`. Nothing after `to` is used, and a row uses only older readings than itself.
    """
    history = load(folder, mapping=mapping, until=to, spec=model.spec)
    columns = history.columns
    rows = np.flatnonzero(columns.time_s >= since.timestamp())
    if not len(rows):
        raise NoReadings(f"{folder}: no reading from {since} to {to}")
    probabilities = np.empty((len(rows), len(HORIZON_NAMES)))
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        probabilities[chunk] = model.probabilities(compute(columns, model.spec, rows[chunk]))
    ids = np.array(history.charger_ids, dtype=object)
    milliseconds = np.round(columns.time_s[rows] * 1000).astype(np.int64)
    table = pd.DataFrame(
        {
            "charger_id": ids[columns.charger[rows]],
            "timestamp": pd.to_datetime(milliseconds, unit="ms", utc=True),
        }
    )
    for column, name in enumerate(HORIZON_NAMES):
        table[f"p_{name}"] = probabilities[:, column]
    return table
