"""Questions to a fleet in memory: filters, orders, cursors. Pure.

A cursor is a position in an order, not a number of items: no item is repeated or left out because others
have come, gone or moved meanwhile.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Positions = NDArray[np.int64]

# The attributes and facts that a query filters by, each with the name of its column.
FILTERS: Final = ("site", "vendor", "model", "firmware", "status", "action")
# These orders begin with the highest value, the others with the lowest. A dash before the name turns an order
# round. Items without the value are last in both.
HIGHEST_FIRST: Final = ("risk", "reading_timestamp", "cost_of_waiting", "chargers")
SORTS: Final = ("risk", "reading_timestamp", "cost_of_waiting", "charger_id", "site")
NO_TEXT: Final = -1


class Vocabulary:
    """Texts, and a number for each. `-1` is no text."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._codes: dict[str, int] = {}
        self._sorted: list[str] = []
        self._ranks: Numbers = np.full(1, np.inf)  # the last one is that of `NO_TEXT`

    def code(self, text: str | None) -> int:
        """The number of a text, a new one if it has none yet."""
        if text is None:
            return NO_TEXT
        found = self._codes.get(text)
        if found is None:
            found = self._codes[text] = len(self.texts)
            self.texts.append(text)
        return found

    def codes(self, texts: Sequence[str]) -> list[int]:
        """The numbers of those texts that have one."""
        return [self._codes[text] for text in texts if text in self._codes]

    def ranks(self, codes: NDArray[np.int32]) -> Numbers:
        """The positions of these codes in the order of their texts; infinite without a text."""
        self._sort()
        return self._ranks[codes]

    def rank(self, text: str | None) -> float:
        """The place of a text in their order. An unknown text is between its neighbours."""
        self._sort()
        return np.inf if text is None else _rank_of(text, self._sorted)

    def _sort(self) -> None:
        if len(self._sorted) == len(self.texts):
            return
        by_text = sorted(range(len(self.texts)), key=self.texts.__getitem__)
        self._sorted = [self.texts[code] for code in by_text]
        self._ranks = np.full(len(by_text) + 1, np.inf)
        self._ranks[by_text] = np.arange(len(by_text))


def _rank_of(text: str, texts: Sequence[str]) -> float:
    place = bisect_left(texts, text)
    return float(place) if place < len(texts) and texts[place] == text else place - 0.5


class Cursor(NamedTuple):
    """The last item of a page: its value in the order `sort`, and its id. The next page begins after it.

    `value` is a number, or the text for an order by texts; None if the item has none.
    """

    sort: str
    value: float | str | None
    item_id: str | None


@dataclass(frozen=True, slots=True)
class FleetQuery:
    """A question to the fleet. Of each filter any value matches; without values it matches all.

    `text` is part of the id, the name or the site, in any case. `scored` selects chargers with a verdict, or
    those without; None both. `after` is a cursor, or the number of items to leave out.
    """

    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    min_risk: float = 0.0
    text: str = ""
    sort: str = "risk"
    limit: int = 100
    after: Cursor | int = 0
    scored: bool | None = None


class Found(NamedTuple):
    """A page of chargers with their status and the time of their reading, in epoch seconds.

    Both are None for a charger of which only attributes are stored.
    `total` counts the chargers of all pages. `costs` are the sums of their costs of waiting by currency, with
    None for those that name no currency.
    `following` is the cursor of the next page.
    """

    charger_ids: list[str]
    statuses: list[str | None]
    read_at: list[float | None]
    total: int
    costs: dict[str | None, float]
    following: Cursor | None


def sign_of(sort: str) -> int:
    """The factor that turns values into keys, of which the lowest is the first in this order."""
    is_highest_first = sort.removeprefix("-") in HIGHEST_FIRST
    return -1 if is_highest_first != sort.startswith("-") else 1


def keys_of(sort: str, values: Numbers) -> Numbers:
    """The keys of values in this order: the lowest is the first, missing ones are infinite."""
    keys = values * sign_of(sort)
    keys[~np.isfinite(keys)] = np.inf
    return keys


def behind(positions: Positions, keys: Numbers, ranks: Numbers, *, key: float, rank: float) -> Positions:
    """Those of the positions, in their order, that are behind a key and, among equal keys, behind a rank."""
    its = keys[positions]
    found: Positions = positions[(its > key) | ((its == key) & (ranks[positions] > rank))]
    return found
