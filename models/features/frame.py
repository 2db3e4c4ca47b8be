"""Compute features from readings and their recent history. Training and serving share this implementation.

A row's features come from the reading itself and, if there is history, from strictly older entries of the
same charger. The history is bounded so that a server can store it: the first entry of each 12-hour slot, at
most 30 days back, at most 60 entries. A charger that reports every minute then looks like one that reports
twice a day, as in training. Without history these columns are NaN.

Imports only numpy. Sums over the history have a fixed order, so a row has bit-identical features alone or in
a batch of a million (tests/unit/models/features/test_frame.py replays a fleet to check it).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from errors import ModelRefused
from models.features import history_features
from models.features.columns import STATUS_INDEX, Columns, Floats, Ints
from models.features.error_codes import FAMILIES, family
from models.features.history_features import DAY_S, MAX_ENTRIES, Frame

__all__ = ["MAX_ENTRIES", "FeatureSpec", "Frame", "compute", "vocabulary_of"]

SCHEMA: Final = 1  # raised whenever a feature changes its meaning; older versions are then refused
CHUNK_ROWS: Final = 128  # x 60 entries x 15 sums x 8 bytes = 0.9 MB: fits in the CPU cache
_FLAGGED: Final = ("CHARGING", "OCCUPIED", "UNAVAILABLE", "OFFLINE", "FAULTY", "FULLY_CHARGED")
_FLAGGED_INDEX: Final = np.array([STATUS_INDEX[name] for name in _FLAGGED])
_NOW: Final = (
    *(f"is_{status.lower()}" for status in _FLAGGED),
    "energy_kwh",
    "power_kw",
    "temperature_c",
    "uptime_h",
    "sessions",
    "days_since_maintenance",
    "codes",
    *(f"codes_{name}" for name in FAMILIES),
)
TEMPERATURE: Final = _NOW.index("temperature_c")
SENSOR_RANGE_C: Final = (-45.0, 150.0)  # of the sensors' own range


@dataclass(frozen=True)
class FeatureSpec:
    """The feature columns of a version: fixed ones, and those of its named codes.

    `vocabulary` are codes of no known family that were frequent in training. `names` are the columns of the
    frame, in order. `checks_sensors`: temperatures that no sensor measures or of a stuck one are missing.
    Versions of earlier releases take them as they are.
    """

    vocabulary: tuple[str, ...] = ()
    checks_sensors: bool = True

    @cached_property
    def code_columns(self) -> dict[str, int]:
        """Column of each named code in `Columns.codes`."""
        return {code: len(FAMILIES) + index for index, code in enumerate(self.vocabulary)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the frame's columns, in order."""
        now = (*_NOW, *(f"code:{code}" for code in self.vocabulary))
        return (*now, *history_features.NAMES, *(f"code_mean_30d:{code}" for code in self.vocabulary))

    @cached_property
    def temperatures(self) -> Ints:
        """The columns that are made of temperatures."""
        return np.flatnonzero([name.startswith("temperature_") for name in self.names])

    @cached_property
    def first_history(self) -> int:
        """Index of the first column that needs history."""
        return len(_NOW) + len(self.vocabulary)

    def to_manifest(self) -> dict[str, Any]:
        """The spec as JSON values, with schema and column names."""
        return {
            "schema": SCHEMA,
            "checks_sensors": self.checks_sensors,
            "vocabulary": list(self.vocabulary),
            "names": list(self.names),
        }

    @classmethod
    def from_manifest(cls, raw: dict[str, Any]) -> FeatureSpec:
        """The inverse of `to_manifest`. Raises `ModelRefused` if this release computes other features."""
        spec = cls(tuple(raw["vocabulary"]), raw.get("checks_sensors", False))
        if raw["schema"] != SCHEMA or list(spec.names) != raw["names"]:
            raise ModelRefused(
                f"features are of schema {raw['schema']}, this release computes schema {SCHEMA}; train anew"
            )
        return spec


def compute(
    columns: Columns, spec: FeatureSpec, rows: Ints | None = None, depth: Ints | None = None
) -> Frame:
    """The frame [len(rows), len(spec.names)] float32 for `rows` of `columns` (default: all).

    `depth` [len(rows)] limits the number of history entries, 0 for none. Training uses it so that models
    learn to score without history too.
    """
    rows = np.arange(len(columns), dtype=np.int64) if rows is None else rows
    columns = _plausible(columns) if spec.checks_sensors else columns
    frame = np.full((len(rows), len(spec.names)), np.nan, np.float32)
    frame[:, : spec.first_history] = _now(columns, rows)
    if (columns.charger[1:] != columns.charger[:-1]).all():
        return frame  # one reading per charger: no history
    entries = history_features.HistoryIndex.of(columns)
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        limit = None if depth is None else depth[chunk]
        stuck = history_features.fill(
            frame[chunk, spec.first_history :], columns, rows[chunk], entries, limit
        )
        if spec.checks_sensors and stuck.any():
            frame[np.ix_(start + np.flatnonzero(stuck), spec.temperatures)] = np.nan
    return frame


def _plausible(columns: Columns) -> Columns:
    """The columns, without temperatures that no such sensor can measure."""
    low, high = SENSOR_RANGE_C
    absurd = (columns.temperature_c < low) | (columns.temperature_c > high)
    if not absurd.any():
        return columns
    return replace(columns, temperature_c=np.where(absurd, np.nan, columns.temperature_c))


def _now(columns: Columns, rows: Ints) -> Floats:
    status = columns.status[rows]
    codes = columns.codes[rows]
    flags = np.where(status[:, None] < 0, np.nan, status[:, None] == _FLAGGED_INDEX)
    numbers = (
        columns.energy_kwh[rows],
        columns.power_kw[rows],
        columns.temperature_c[rows],
        columns.uptime_h[rows],
        columns.sessions[rows],
        # negative if the visit is later than the reading, or if a clock is wrong
        history_features.not_negative((columns.time_s[rows] - columns.serviced_s[rows]) / DAY_S),
        codes[:, : len(FAMILIES)].sum(axis=1),
    )
    return np.concatenate((flags, np.array(numbers).T, codes), axis=1)


def vocabulary_of(
    codes: Iterable[Sequence[str]], chargers: Iterable[int], *, limit: int = 12
) -> tuple[str, ...]:
    """Named codes of a fleet: the codes without a known family that most chargers have sent.

    At most `limit`, each from at least 5 chargers. A code of one charger would identify the charger, not its
    fault.
    """
    seen: dict[str, set[int]] = {}
    for charger, sent in zip(chargers, codes, strict=True):
        for code in set(sent):
            if FAMILIES[family(code)] == "other":
                seen.setdefault(code, set()).add(charger)
    ranked = sorted((-len(who), code) for code, who in seen.items() if len(who) >= 5)
    return tuple(code for _, code in ranked[:limit])
