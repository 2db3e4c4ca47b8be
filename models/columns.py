"""Readings as columns of numbers: what both a live batch and a training table become.

Only numpy: a worker imports this. Units are those of the reading: kWh, kW, °C, hours; times are seconds
since 1970 rounded to a millisecond, so that a time read from a file and one from JSON are the same float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from models.codes import FAMILIES, family

if TYPE_CHECKING:
    from models.reading import Reading

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# The contract's words (models/reading.py has the same tuple, with marshmallow, which this must not import).
STATUSES: Final = ("AVAILABLE", "CHARGING", "OCCUPIED", "UNAVAILABLE", "OFFLINE", "FAULTY", "FULLY_CHARGED")
STATUS_INDEX: Final = {status: index for index, status in enumerate(STATUSES)}
NO_STATUS: Final = -1


@dataclass(frozen=True, slots=True)
class Columns:
    """n readings, sorted by charger and then by time. NaN is missing, `NO_STATUS` a missing status.

    `charger` numbers the chargers; `codes[n, c]` counts the codes of each family and then of each named
    code (`spec.vocabulary`); a row of NaN there means that the charger reports no codes at all.
    """

    charger: Ints
    time_s: Floats
    status: Ints
    energy_kwh: Floats
    power_kw: Floats
    temperature_c: Floats
    uptime_h: Floats
    sessions: Floats
    serviced_s: Floats
    codes: Floats

    def __len__(self) -> int:
        return len(self.charger)


def to_millisecond(time_s: Floats) -> Floats:
    """The same instant from whatever source as the same float."""
    rounded: Floats = np.round(time_s, 3)
    return rounded


def count_codes(codes: Sequence[str] | None, vocabulary: dict[str, int]) -> list[float]:
    """Counts by family, then by the codes of `vocabulary` (code -> column); all NaN where `codes` is None."""
    width = len(FAMILIES) + len(vocabulary)
    if codes is None:
        return [np.nan] * width
    counts = [0.0] * width
    if not codes:
        return counts
    for code in codes:
        counts[family(code)] += 1.0
        named = vocabulary.get(code)
        if named is not None:
            counts[named] += 1.0
    return counts


def from_readings(
    readings: Sequence[Reading], histories: Sequence[Sequence[Reading]] | None, vocabulary: dict[str, int]
) -> tuple[Columns, Ints]:
    """Columns of every reading with its own history before it, and the row of each reading.

    Each reading counts as a charger of its own, so that one charger may stand twice in a batch. Entries
    of a history that are not older than their reading are left out; the order within a history is free.
    """
    rows: list[Reading] = []
    charger: list[int] = []
    targets = np.empty(len(readings), np.int64)
    for index, reading in enumerate(readings):
        if histories is not None and histories[index]:
            older = [entry for entry in histories[index] if entry.timestamp < reading.timestamp]
            older.sort(key=lambda entry: entry.timestamp)
            rows.extend(older)
            charger.extend([index] * len(older))
        targets[index] = len(rows)
        rows.append(reading)
        charger.append(index)
    numbers = np.array(
        [
            (
                row.timestamp.timestamp(),
                np.nan if row.energy_delivered is None else row.energy_delivered,
                np.nan if row.power is None else row.power,
                np.nan if row.temperature is None else row.temperature,
                np.nan if row.uptime_hours is None else row.uptime_hours,
                np.nan if row.total_sessions is None else row.total_sessions,
                np.nan if row.last_maintenance is None else row.last_maintenance.timestamp(),
            )
            for row in rows
        ],
        np.float64,
    ).reshape(len(rows), 7)
    codes = np.array([count_codes(row.error_codes, vocabulary) for row in rows], np.float64)
    return Columns(
        charger=np.array(charger, np.int64),
        time_s=to_millisecond(numbers[:, 0]),
        status=np.array([STATUS_INDEX.get(row.connector_status, NO_STATUS) for row in rows], np.int64),
        energy_kwh=numbers[:, 1],
        power_kw=numbers[:, 2],
        temperature_c=numbers[:, 3],
        uptime_h=numbers[:, 4],
        sessions=numbers[:, 5],
        serviced_s=to_millisecond(numbers[:, 6]),
        codes=codes.reshape(len(rows), len(FAMILIES) + len(vocabulary)),
    ), targets
