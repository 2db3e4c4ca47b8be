"""Readings as numeric columns, both for live batches and for training tables.

Imports only numpy, because workers import this module. Units are those of the reading: kWh, kW, °C, hours.
Times are seconds since 1970, rounded to a millisecond, so that a time from a file and one from JSON give the
same float.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.features.error_codes import FAMILIES, family
from readings.reading import STATUSES, Reading

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

STATUS_INDEX: Final = {status: index for index, status in enumerate(STATUSES)}
NO_STATUS: Final = -1


@dataclass(frozen=True, slots=True)
class Columns:
    """n readings, sorted by charger and then by time. NaN is missing, `NO_STATUS` a missing status.

    `charger` is the charger's number. `codes` [n, families + named codes] counts the codes of each family,
    then each code of the vocabulary, which its family counts too. A row of NaN there means that the charger
    reports no codes.
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
    """Times rounded to a millisecond, so that all sources give the same float."""
    rounded: Floats = np.round(time_s, 3)
    return rounded


def count_codes(codes: Sequence[str] | None, vocabulary: dict[str, int]) -> list[float]:
    """Counts by family, then by the codes of `vocabulary` (code -> column); all NaN if `codes` is None."""
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


@dataclass(frozen=True, slots=True)
class HistoryEntries:
    """Past readings of one charger as columns, in any order.

    Eight sequences of equal length. Times are seconds since 1970; None is missing.
    """

    time_s: Sequence[float]
    status: Sequence[str]
    energy_kwh: Sequence[float | None]
    power_kw: Sequence[float | None]
    temperature_c: Sequence[float | None]
    codes: Sequence[Sequence[str] | None]
    uptime_h: Sequence[float | None]
    sessions: Sequence[float | None]

    @classmethod
    def of(cls, readings: Iterable[Reading]) -> HistoryEntries:
        """The columns of `readings`, in order."""
        rows = list(readings)
        return cls(
            [row.timestamp.timestamp() for row in rows],
            [row.connector_status for row in rows],
            [row.energy_delivered for row in rows],
            [row.power for row in rows],
            [row.temperature for row in rows],
            [row.error_codes for row in rows],
            [row.uptime_hours for row in rows],
            [row.total_sessions for row in rows],
        )

    def __len__(self) -> int:
        return len(self.time_s)


# One history per reading: entries of the same charger, in any order.
Histories = Sequence[Sequence[Reading] | HistoryEntries]


def from_readings(
    readings: Sequence[Reading], histories: Histories | None, vocabulary: dict[str, int]
) -> tuple[Columns, Ints]:
    """Columns of all readings with their histories, and the row of each reading.

    Each reading gets its own charger number, so a charger may occur twice in a batch. History entries that
    are not older than their reading are dropped; their order is free. `serviced_s` is NaN for history
    entries, because no feature uses it.
    """
    now = HistoryEntries.of(readings)
    past = [
        entries if isinstance(entries, HistoryEntries) else HistoryEntries.of(entries)
        for entries in histories or ()
    ]
    parts = [*past, now]

    def joined(name: str) -> Iterable[Any]:
        return chain.from_iterable([getattr(part, name) for part in parts])

    # The entries of all histories come first, then all readings.
    time_s = np.fromiter(joined("time_s"), np.float64)
    own = np.arange(len(readings), dtype=np.int64)
    charger = np.concatenate((own[: len(past)].repeat([len(entries) for entries in past]), own))
    n = len(time_s)
    first_reading = n - len(readings)
    taken = time_s < time_s[first_reading:][charger]
    taken[first_reading:] = True
    order = np.flatnonzero(taken)
    # A reading is newer than its entries, so it is the last of its charger. The sort is stable.
    order = order[np.lexsort((time_s[order], charger[order]))]

    def numbers(name: str) -> Floats:
        return np.fromiter(joined(name), np.float64, n)[order]

    status = np.fromiter(map(STATUS_INDEX.get, joined("status"), repeat(NO_STATUS)), np.int64, n)
    serviced = [
        np.nan if row.last_maintenance is None else row.last_maintenance.timestamp() for row in readings
    ]
    serviced_s = np.concatenate((np.full(first_reading, np.nan), serviced))
    return Columns(
        charger=charger[order],
        time_s=to_millisecond(time_s[order]),
        status=status[order],
        energy_kwh=numbers("energy_kwh"),
        power_kw=numbers("power_kw"),
        temperature_c=numbers("temperature_c"),
        uptime_h=numbers("uptime_h"),
        sessions=numbers("sessions"),
        serviced_s=to_millisecond(serviced_s[order]),
        codes=_counted(list(joined("codes")), vocabulary).take(order, axis=0),
    ), np.flatnonzero(order >= first_reading)


def _counted(sent: Sequence[Sequence[str] | None], vocabulary: dict[str, int]) -> Floats:
    """`count_codes` of many rows, of which few have any code: [rows, families + named codes]."""
    width = len(FAMILIES) + len(vocabulary)
    counts = np.zeros((len(sent), width))
    for row in [row for row, codes in enumerate(sent) if codes]:
        counts[row] = count_codes(sent[row], vocabulary)
    counts[[row for row, codes in enumerate(sent) if codes is None]] = np.nan
    return counts


def columns_to_manifest(columns: Columns) -> dict[str, Any]:
    """Columns as JSON values. NaN becomes null."""
    return {
        name: [_plain(value) for value in getattr(columns, name).tolist()]
        for name in Columns.__dataclass_fields__
    }


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def columns_from_manifest(raw: dict[str, Any]) -> Columns:
    """The inverse of `columns_to_manifest`."""
    whole = {"charger", "status"}
    arrays: dict[str, Any] = {
        name: np.array(raw[name], np.int64 if name in whole else np.float64)
        for name in Columns.__dataclass_fields__
    }
    return Columns(**arrays)
