"""Counts and sums over the history entries of many readings at once, in a fixed order.

Part of `models/features/history_features.py`. Arrays are [entry, row], newest entry first. A few large
operations replace many small ones, because for one row numpy's overhead dominates (docs/adr/0007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.features.columns import Bools, Columns, Floats, Ints
from models.features.error_codes import FAMILIES

# Families of the charger's own parts: not the vehicle, the network or unknown codes.
_HARDWARE: Final = [FAMILIES.index(name) for name in FAMILIES if name not in ("communication", "other")]


class Counts:
    """Collect masks [entry, row], and count them in one operation."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._masks: list[Bools] = []

    def add(self, name: str, mask: Bools) -> None:
        """Add a mask [entry, row] under a name."""
        self._names.append(name)
        self._masks.append(mask)

    def total(self, week: Bools) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Entries [row] in each mask, and as `<name>_7d` those that are also in `week`.

        The second result holds the same counts as divisors: zero becomes NaN, as a share of nothing is
        unknown.
        """
        names = (*self._names, *(f"{name}_7d" for name in self._names))
        masks = np.concatenate(self._masks, axis=1).reshape(len(week), len(self._names), -1)
        # Counts are at most MAX_ENTRIES and fit in a byte. This is exact in any order, and fast.
        both = np.concatenate((masks, masks & week[:, None]), axis=1).view(np.uint8)
        number = both.sum(axis=0, dtype=np.uint8).astype(np.float64)
        divisor = np.where(number == 0, np.nan, number)
        return dict(zip(names, number, strict=True)), dict(zip(names, divisor, strict=True))


class Sums:
    """Collect masked columns [entry, row], and sum them in one operation, oldest entry last.

    One stacked sum is fast for a single row, and its inner axis is never of length one. With such an axis
    numpy adds pairwise, and a single row would differ from the same row in a batch in its last bit.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._terms: list[Floats] = []

    def add(self, name: str, mask: Bools, values: Floats, week: Bools | None = None) -> None:
        """Sum `values` over `mask` as `name`, and over `mask & week` as `<name>_7d`."""
        self._names.append(name)
        self._terms.append(np.where(mask, values, 0.0))
        if week is not None:
            self.add(f"{name}_7d", mask & week, values)

    def total(self) -> dict[str, Floats]:
        """The sums [row] by name."""
        total = np.concatenate(self._terms, axis=1).sum(axis=0)
        return dict(zip(self._names, total.reshape(len(self._names), -1), strict=True))


@dataclass(frozen=True, slots=True)
class Codes:
    """Error codes in the history.

    `hardware` [entry, row]: entries with a code of a hardware family. `families` and `families_7d` [family,
    row]: number of entries with such a code. `named` [code, row]: sums of the named codes. Only entries with
    codes are processed, because few have any.
    """

    hardware: Bools
    families: Floats
    families_7d: Floats
    named: Floats

    @classmethod
    def of(cls, columns: Columns, at: Ints, coded: Bools, week: Bools) -> Codes:
        """Collect the codes of the entries `at` [entry, row] that `coded` marks."""
        entry, row = np.nonzero(coded)
        codes = columns.codes.take(at[entry, row], axis=0)
        present = codes[:, : len(FAMILIES)] > 0
        hardware = np.zeros(coded.shape, np.bool_)
        hardware[entry, row] = present[:, _HARDWARE].any(axis=1)
        each = np.concatenate(
            (present, present & week[entry, row][:, None], codes[:, len(FAMILIES) :]), axis=1
        )
        at = row[:, None] * each.shape[1] + np.arange(each.shape[1])
        summed = np.bincount(at.ravel(), each.ravel(), coded.shape[1] * each.shape[1])
        by_column = summed.astype(np.float64).reshape(coded.shape[1], -1).T
        n = len(FAMILIES)
        return cls(hardware, by_column[:n], by_column[n : 2 * n], by_column[2 * n :])


def finite(values: Floats) -> Floats:
    """`values` with infinite numbers as NaN, elementwise."""
    return np.where(np.isfinite(values), values, np.nan)


def newest(age_days: Floats, *hits: Bools) -> Floats:
    """Age of the newest entry in each mask [masks, row], in days; NaN if there is none."""
    return finite(np.where(np.array(hits), age_days, np.inf).min(axis=1))


def span_days(age_days: Floats, *masks: Bools) -> Floats:
    """Age of the oldest entry in each mask [masks, row], in days; 0 if there is none."""
    span: Floats = np.where(np.array(masks), age_days, 0.0).max(axis=1)
    return span
