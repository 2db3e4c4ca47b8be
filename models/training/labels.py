"""Labels for training and evaluation: what happened after each reading.

A failure is the onset of a loss of service that lasts at least a day or needs a visit. A reading inside a
failure is not used for training. A reading whose future is not observed to the horizon's end is unknown, not
healthy.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.features.columns import STATUS_INDEX, Bools, Floats
from models.training.history import Events, History, sort_key

Labels = npt.NDArray[np.int8]

UNKNOWN: Final = -1
DAY_S: Final = 86_400.0
MIN_FAILURE_S: Final = DAY_S  # by definition a failure lasts a day
MAX_FAILURE_S: Final = 90 * DAY_S  # a later repair belongs to another event
_WORKING: Final = [STATUS_INDEX[word] for word in ("AVAILABLE", "CHARGING", "OCCUPIED", "FULLY_CHARGED")]


def days_to_failure(history: History) -> Floats:
    """Days from each reading to the charger's next onset [n]; infinite if none is recorded."""
    columns, failures = history.columns, history.failures
    after = np.searchsorted(failures.key, sort_key(columns.charger, columns.time_s), side="right")
    return _gap_days(history, failures, after)


def _gap_days(history: History, events: Events, index: npt.NDArray[np.int64]) -> Floats:
    columns = history.columns
    inside = (index >= 0) & (index < len(events.charger))
    safe = np.where(inside, index, 0)
    if not len(events.charger):
        return np.full(len(columns), np.inf)
    same = inside & (events.charger[safe] == columns.charger)
    return np.where(same, (events.time_s[safe] - columns.time_s) / DAY_S, np.inf)


def in_failure(history: History) -> Bools:
    """Readings [n] with status FAULTY or inside a recorded failure; they are not used for training."""
    faulty: Bools = history.columns.status == STATUS_INDEX["FAULTY"]
    return faulty | inside_recorded(history)


def inside_recorded(history: History) -> Bools:
    """Readings [n] between an onset and the end of that failure, with any status.

    A failure ends with the repair that the maintenance table records within 90 days. Without one, it ends
    with the first reading at least a day after the onset that shows the charger in service.
    """
    columns, failures = history.columns, history.failures
    inside = np.zeros(len(columns), np.bool_)
    if not len(failures.charger):
        return inside
    reading_key = sort_key(columns.charger, columns.time_s)
    onset_key = failures.key
    first = np.searchsorted(reading_key, onset_key, side="left")
    repaired_s = _repairs(history)
    working = np.isin(columns.status, _WORKING) | (columns.status < 0)
    charger_end = np.searchsorted(columns.charger, failures.charger, side="right")
    for number in range(len(onset_key)):
        begin, stop = int(first[number]), int(charger_end[number])
        after_s = columns.time_s[begin:stop] - failures.time_s[number]
        if np.isfinite(repaired_s[number]):
            lasts = after_s < repaired_s[number] - failures.time_s[number]
        else:
            over = np.flatnonzero((after_s >= MIN_FAILURE_S) & working[begin:stop])
            lasts = np.arange(stop - begin) < (over[0] if len(over) else stop - begin)
        inside[begin:stop] |= lasts
    return inside


def _repairs(history: History) -> Floats:
    """Time of each failure's repair; NaN if none is recorded within 90 days and before the next onset."""
    failures, done = history.failures, history.maintenance
    result = np.full(len(failures.charger), np.nan)
    repairs = np.flatnonzero(done.corrective > 0)
    if not len(repairs):
        repairs = np.arange(len(done.charger))
    if not len(repairs):
        return result
    charger, time_s = done.charger[repairs], done.time_s[repairs]
    at = np.minimum(np.searchsorted(sort_key(charger, time_s), failures.key, side="right"), len(repairs) - 1)
    fits = (charger[at] == failures.charger) & (time_s[at] > failures.time_s)
    fits &= time_s[at] - failures.time_s <= MAX_FAILURE_S
    return np.where(fits, time_s[at], result)


def labels(history: History, horizon_days: float, *, end_s: float | None = None) -> Labels:
    """1 if a failure begins within the horizon, 0 if none does, -1 if unknown [n].

    Unknown are readings inside a failure, and readings closer than the horizon to `end_s` (default: the
    fleet's newest reading). That holds even if a failure followed, as keeping only failures would bias the
    last weeks. The same applies to readings closer than the horizon to a charger's last reading.
    """
    observed_days = _observed_days(history, end_s)
    result = (days_to_failure(history) <= horizon_days).astype(np.int8)
    result[observed_days < horizon_days] = UNKNOWN
    result[in_failure(history)] = UNKNOWN
    return result


def futures(history: History) -> tuple[Floats, Bools]:
    """Days [n] for which each reading's future is known, and whether a failure ends them [n].

    The others are censored: their charger was in service until then, and later is unknown. 0 for readings
    inside a failure.
    """
    failure_days, days = days_to_failure(history), _observed_days(history, None)
    failed = failure_days <= days
    days = np.minimum(days, failure_days)
    excluded = in_failure(history)
    return np.where(excluded, 0.0, np.maximum(days, 0.0)), failed & ~excluded


def _observed_days(history: History, end_s: float | None) -> Floats:
    """Days from each reading to the end of its charger's observation [n]."""
    columns, failures = history.columns, history.failures
    end_s = history.end_s if end_s is None else end_s
    n_chargers = len(history.charger_ids)
    last_s = np.full(n_chargers, -np.inf)
    np.maximum.at(last_s, columns.charger, columns.time_s)
    # A charger whose last reading was followed by a failure counts as fully observed: nothing can be missed.
    failed_s = np.full(n_chargers, -np.inf)
    np.maximum.at(failed_s, failures.charger, failures.time_s)
    observed_to = np.where(failed_s >= last_s - MIN_FAILURE_S, np.inf, last_s)
    observed_to = np.minimum(observed_to, end_s)
    days: Floats = (observed_to[columns.charger] - columns.time_s) / DAY_S
    return days
