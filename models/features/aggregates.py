"""Counts and sums over the entries of many pasts at once, in one fixed order.

Part of `models/features/history_features.py`. What is gathered is [entry, row], the newest entry first. A few
large operations instead of many small ones: for one row numpy's overhead is nearly all there is
(docs/adr/0007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.features.columns import Bools, Columns, Floats, Ints
from models.features.error_codes import FAMILIES

# Families that name a part of the charger itself, not the vehicle, the network or nothing in particular.
_HARDWARE: Final = [FAMILIES.index(name) for name in FAMILIES if name not in ("communication", "other")]


class Counts:
    """Gathers masks [entry, row] and counts them all at once."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._masks: list[Bools] = []

    def add(self, name: str, mask: Bools) -> None:
        self._names.append(name)
        self._masks.append(mask)

    def total(self, week: Bools) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """How many entries [row] are in each mask, and as `<name>_7d` how many of them are in `week` too.

        Secondly the same to divide by: what is shared among nothing is not known (NaN).
        """
        names = (*self._names, *(f"{name}_7d" for name in self._names))
        masks = np.concatenate(self._masks, axis=1).reshape(len(week), len(self._names), -1)
        # At most MAX_ENTRIES, so that a byte holds each: exact in any order, and quick.
        both = np.concatenate((masks, masks & week[:, None]), axis=1).view(np.uint8)
        number = both.sum(axis=0, dtype=np.uint8).astype(np.float64)
        divisor = np.where(number == 0, np.nan, number)
        return dict(zip(names, number, strict=True)), dict(zip(names, divisor, strict=True))


class Sums:
    """Gathers masked columns [entry, row] and adds them all up at once, oldest last.

    One stacked sum is quick for a single row, and its inner axis is never of length one: numpy would then
    add pairwise, and a lone row would differ from the same row among others in its last bit.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._terms: list[Floats] = []

    def add(self, name: str, mask: Bools, values: Floats, week: Bools | None = None) -> None:
        """`name` becomes the sum of `values` in `mask`, and `<name>_7d` of those in `week` too."""
        self._names.append(name)
        self._terms.append(np.where(mask, values, 0.0))
        if week is not None:
            self.add(f"{name}_7d", mask & week, values)

    def total(self) -> dict[str, Floats]:
        total = np.concatenate(self._terms, axis=1).sum(axis=0)
        return dict(zip(self._names, total.reshape(len(self._names), -1), strict=True))


@dataclass(frozen=True, slots=True)
class Codes:
    """Error codes of the past: `hardware` [entry, row] marks entries with a code that names a part.

    `families` and `families_7d` [family, row] count the entries with such a code, `named` [code, row] adds
    up the named codes themselves. Only entries that have codes are looked at: few have.
    """

    hardware: Bools
    families: Floats
    families_7d: Floats
    named: Floats

    @classmethod
    def of(cls, columns: Columns, at: Ints, coded: Bools, week: Bools) -> Codes:
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
